"""Object storage over S3, and the archive in it."""
