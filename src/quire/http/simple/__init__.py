"""The endpoints for installers and publishing tools: pages, downloads, uploads."""
