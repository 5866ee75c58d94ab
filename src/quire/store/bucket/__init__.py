"""The store in a bucket: S3, GCS, Azure, or anything else with conditional writes."""
