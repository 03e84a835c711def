//! What goes wrong, in AWS's codes and words.

use s3s::{S3Error, S3ErrorCode, S3Result};
use strata_base::objects::ObjectError;

pub fn fault(code: S3ErrorCode, message: impl Into<String>) -> S3Error {
    S3Error::with_message(code, message.into())
}

/// Refuses what is real in AWS and not done here.
pub fn refused(message: impl Into<String>) -> S3Error {
    fault(S3ErrorCode::NotImplemented, message)
}

pub fn invalid(message: impl Into<String>) -> S3Error {
    fault(S3ErrorCode::InvalidArgument, message)
}

/// A code that `s3s` does not list.
pub fn other(status: u16, code: &'static str, message: impl Into<String>) -> S3Error {
    let mut error = fault(S3ErrorCode::Custom(code.into()), message);
    if let Ok(status) = http::StatusCode::from_u16(status) {
        error.set_status_code(status);
    }
    error
}

/// The port's errors on the wire.
pub fn from_store(error: ObjectError) -> S3Error {
    use S3ErrorCode as Code;
    match error {
        ObjectError::NoBucket(_) => fault(Code::NoSuchBucket, "The specified bucket does not exist"),
        ObjectError::BucketExists(_) => fault(
            Code::BucketAlreadyOwnedByYou,
            "Your previous request to create the named bucket succeeded and you already own it.",
        ),
        ObjectError::BucketNotEmpty(_) => {
            fault(Code::BucketNotEmpty, "The bucket you tried to delete is not empty")
        }
        ObjectError::NoObject { .. } => fault(Code::NoSuchKey, "The specified key does not exist."),
        ObjectError::NoUpload(_) => fault(
            Code::NoSuchUpload,
            "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.",
        ),
        ObjectError::InvalidName(message) => invalid(message),
        ObjectError::InvalidPart(message) => fault(
            Code::InvalidPart,
            format!("One or more of the specified parts could not be found or do not match: {message}"),
        ),
        ObjectError::Precondition(_) => {
            fault(Code::PreconditionFailed, "At least one of the pre-conditions you specified did not hold")
        }
        ObjectError::Digest { name, .. } => fault(
            Code::BadDigest,
            match name.as_str() {
                "MD5" => "The Content-MD5 you specified did not match what we received.".to_string(),
                name => format!("The {name} you specified did not match the calculated checksum."),
            },
        ),
        ObjectError::Body(message) => fault(
            Code::IncompleteBody,
            format!("The request body terminated unexpectedly or could not be read: {message}"),
        ),
        ObjectError::Store(message) => {
            tracing::error!(%message, "object store failed");
            fault(Code::InternalError, "We encountered an internal error. Please try again.")
        }
    }
}

/// Turns a result of the port into one of the wire.
pub trait OrFault<T> {
    fn or_fault(self) -> S3Result<T>;
}

impl<T> OrFault<T> for Result<T, ObjectError> {
    fn or_fault(self) -> S3Result<T> {
        self.map_err(from_store)
    }
}
