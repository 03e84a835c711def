//! Buckets, and the truthful answers about what they cannot have.

use s3s::dto::*;
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result};
use strata_base::objects::ObjectError;

use crate::conditions::shown;
use crate::fault::{OrFault, fault, from_store, invalid, other, refused};
use crate::incoming::Trace;
use crate::server::Server;

/// The region that says nothing: AWS's first.
const FIRST_REGION: &str = "us-east-1";

impl Server {
    pub async fn create(
        &self,
        request: S3Request<CreateBucketInput>,
    ) -> S3Result<S3Response<CreateBucketOutput>> {
        let input = request.input;
        let signed_for = request.region.as_ref().map_or(self.region.as_str(), |region| region.as_str());
        let configuration = input.create_bucket_configuration.unwrap_or_default();
        let document = request.extensions.get::<Trace>().map(Trace::text).unwrap_or_default();
        if String::from_utf8_lossy(&document).contains("<Tags") {
            return Err(refused("buckets cannot be tagged; objects can"));
        }
        if configuration.bucket.is_some() || configuration.location.is_some() {
            return Err(refused("directory buckets are not implemented: use an ordinary bucket"));
        }
        let constraint = configuration.location_constraint.map(|name| name.as_str().to_string());
        let constraint = constraint.filter(|name| !name.is_empty());
        let region = match constraint.as_deref() {
            Some("EU") => "eu-west-1",
            Some(name) => name,
            None => signed_for,
        };
        match self.objects.create_bucket_in(&input.bucket, region).await {
            // AWS's oldest region answers a repeated creation with success.
            Err(ObjectError::BucketExists(_)) if constraint.is_none() && signed_for == FIRST_REGION => {}
            Err(ObjectError::InvalidName(message)) => {
                let message = format!("The specified bucket is not valid: {message}");
                return Err(fault(S3ErrorCode::InvalidBucketName, message));
            }
            result => result.or_fault()?,
        }
        let location = Some(format!("/{}", input.bucket));
        Ok(S3Response::new(CreateBucketOutput { location }))
    }

    pub async fn describe_bucket(
        &self,
        request: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        let region = self.region_of(&request.input.bucket).await?;
        Ok(S3Response::new(HeadBucketOutput {
            bucket_region: Some(region),
            access_point_alias: Some(false),
            ..Default::default()
        }))
    }

    pub async fn location(
        &self,
        request: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        let region = self.region_of(&request.input.bucket).await?;
        let constraint = (region != FIRST_REGION).then(|| BucketLocationConstraint::from(region));
        Ok(S3Response::new(GetBucketLocationOutput { location_constraint: constraint }))
    }

    async fn region_of(&self, bucket: &str) -> S3Result<String> {
        let region = self.objects.region(bucket).await.or_fault()?;
        Ok(if region.is_empty() { self.region.clone() } else { region })
    }

    pub async fn remove_bucket(
        &self,
        request: S3Request<DeleteBucketInput>,
    ) -> S3Result<S3Response<DeleteBucketOutput>> {
        self.objects.delete_bucket(&request.input.bucket).await.or_fault()?;
        Ok(S3Response::with_status(DeleteBucketOutput::default(), http::StatusCode::NO_CONTENT))
    }

    pub async fn buckets(
        &self,
        request: S3Request<ListBucketsInput>,
    ) -> S3Result<S3Response<ListBucketsOutput>> {
        let input = request.input;
        let limit = match input.max_buckets {
            None => usize::MAX,
            Some(limit @ 1..=10_000) => limit as usize,
            Some(_) => return Err(invalid("max-buckets must be between 1 and 10000")),
        };
        let prefix = input.prefix.clone().unwrap_or_default();
        let after = input.continuation_token.unwrap_or_default();
        let mut page = Vec::new();
        let mut next = None;
        for bucket in self.objects.buckets().await.or_fault()? {
            if !bucket.name.starts_with(&prefix) || bucket.name <= after {
                continue;
            }
            let region = self.region_of(&bucket.name).await;
            // Deleted since the list was read? Then it is not there.
            let Ok(region) = region else { continue };
            if input.bucket_region.as_ref().is_some_and(|wanted| *wanted != region) {
                continue;
            }
            if page.len() == limit {
                next = page.last().and_then(|last: &Bucket| last.name.clone());
                break;
            }
            page.push(Bucket {
                bucket_region: Some(region),
                creation_date: Some(shown(bucket.created)),
                name: Some(bucket.name),
            });
        }
        Ok(S3Response::new(ListBucketsOutput {
            buckets: Some(page),
            continuation_token: next,
            owner: Some(self.owner()),
            prefix: input.prefix,
        }))
    }

    /// Is there such a bucket?
    pub async fn require(&self, bucket: &str) -> S3Result<()> {
        self.objects.bucket(bucket).await.map(|_| ()).map_err(from_store)
    }

    /// The bucket is there, and has no such configuration.
    pub async fn none_of(&self, bucket: &str, code: &'static str, message: &str) -> S3Error {
        match self.require(bucket).await {
            Ok(()) => other(404, code, message),
            Err(error) => error,
        }
    }

    pub fn owner(&self) -> Owner {
        Owner { display_name: None, id: Some(self.owner_id.clone()) }
    }

    /// The owner, and nobody else, may do everything.
    pub fn grants(&self) -> Vec<Grant> {
        vec![Grant {
            grantee: Some(Grantee {
                display_name: None,
                email_address: None,
                id: Some(self.owner_id.clone()),
                type_: Type::from_static(Type::CANONICAL_USER),
                uri: None,
            }),
            permission: Some(Permission::from_static(Permission::FULL_CONTROL)),
        }]
    }
}
