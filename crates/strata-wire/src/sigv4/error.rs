//! Why a request is not let in, in the words of AWS.

use crate::Fault;

/// The two families of error codes: JSON services end theirs in `Exception`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Json,
    Query,
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum AuthError {
    #[error("Missing Authentication Token")]
    Missing,
    /// The sentence says what the Authorization header lacks.
    #[error("{0}")]
    Incomplete(String),
    #[error("The security token included in the request is invalid.")]
    UnknownKey,
    #[error("The security token included in the request is expired")]
    ExpiredKey,
    /// Too old, too new, or a scope of another day.
    #[error("{0}")]
    Time(String),
    #[error(
        "The request signature we calculated does not match the signature you provided. Check your \
         AWS Secret Access Key and signing method. Consult the service documentation for details."
    )]
    Mismatch,
}

impl AuthError {
    pub fn fault(&self, style: Style) -> Fault {
        let json = style == Style::Json;
        let (status, code) = match self {
            Self::Missing if json => (403, "MissingAuthenticationTokenException"),
            Self::Missing => (403, "MissingAuthenticationToken"),
            Self::Incomplete(_) if json => (400, "IncompleteSignatureException"),
            Self::Incomplete(_) => (400, "IncompleteSignature"),
            Self::UnknownKey if json => (403, "UnrecognizedClientException"),
            Self::UnknownKey => (403, "InvalidClientTokenId"),
            Self::ExpiredKey if json => (403, "ExpiredTokenException"),
            Self::ExpiredKey => (403, "ExpiredToken"),
            Self::Time(_) | Self::Mismatch if json => (403, "InvalidSignatureException"),
            Self::Time(_) | Self::Mismatch => (403, "SignatureDoesNotMatch"),
        };
        Fault::new(status, code, self.to_string())
    }
}
