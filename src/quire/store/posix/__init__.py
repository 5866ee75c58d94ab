"""The store in a directory: on a local disk, NFS or EFS."""
