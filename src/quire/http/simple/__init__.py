"""What installers and publishing tools ask for: pages, downloads, uploads."""
