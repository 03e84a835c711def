//! The S3 protocol in front of the `Objects` and `Multipart` ports.
