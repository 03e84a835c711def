//! Image URIs: the repository name and tag choose the program, whatever the
//! registry host.

use strata_algorithms::Algorithm;

/// `HOST/PATH/REPOSITORY:TAG`, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageUri<'a> {
    /// The last part of the path, e.g. `sagemaker-xgboost`.
    pub repository: &'a str,
    /// `latest` when the URI names none.
    pub tag: &'a str,
}

impl<'a> ImageUri<'a> {
    pub fn parse(uri: &'a str) -> Self {
        let uri = uri.split_once('@').map_or(uri, |(name, _digest)| name);
        let last = uri.rsplit('/').next().unwrap_or(uri);
        let (repository, tag) = last.split_once(':').unwrap_or((last, "latest"));
        Self { repository, tag }
    }

    /// The built-in algorithm that this image means, if it means one.
    pub fn algorithm(&self) -> Option<&'static dyn Algorithm> {
        strata_algorithms::find(self.repository)
    }
}

#[cfg(test)]
mod tests {
    use super::ImageUri;

    #[test]
    fn host_account_and_digest_do_not_matter() {
        let parse = |uri| {
            let image = ImageUri::parse(uri);
            (image.repository, image.tag)
        };
        let aws = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1";
        assert_eq!(parse(aws), ("sagemaker-xgboost", "1.7-1"));
        assert_eq!(parse("localhost:5000/team/kmeans"), ("kmeans", "latest"));
        assert_eq!(parse("linear-learner:1@sha256:abcd"), ("linear-learner", "1"));
    }
}
