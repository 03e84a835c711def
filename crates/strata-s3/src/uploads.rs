//! Multipart uploads.

use s3s::dto::*;
use s3s::{S3ErrorCode, S3Request, S3Response, S3Result};
use strata_base::objects::{ListUploads, ObjectError, PartClaim, PartInfo};

use crate::checksums::{self, Claims, Failure, claimed, show};
use crate::conditions::{precondition, shown, strong};
use crate::fault::{OrFault, fault, invalid};
use crate::list::Encoding;
use crate::objects::{attributes, check_length, page};
use crate::server::Server;

/// All parts but the last must be this large, as in AWS.
const SMALLEST_PART: u64 = 5 << 20;

impl Server {
    pub async fn start(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let mut input = request.input;
        let attributes = attributes!(input)?;
        let algorithm = checksums::algorithm(input.checksum_algorithm.as_ref())?;
        let kind = input.checksum_type.as_ref().map(ChecksumType::as_str);
        let checksum = checksum_of(algorithm.as_deref(), kind)?;
        let shown = checksum.clone().filter(|_| algorithm.is_some());
        let id =
            self.objects.start_upload(&input.bucket, &input.key, attributes, checksum).await.or_fault()?;
        Ok(S3Response::new(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(id),
            checksum_algorithm: shown.as_ref().map(|(name, _)| ChecksumAlgorithm::from(name.clone())),
            checksum_type: checksums::kind(shown.as_ref().map(|(_, kind)| kind)),
            ..Default::default()
        }))
    }

    pub async fn put_part(
        &self,
        request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let input = request.input;
        check_length(input.content_length)?;
        let number = part_number(input.part_number)?;
        let claims = Claims {
            sums: claimed!(input),
            md5: input.content_md5,
            algorithm: checksums::algorithm(input.checksum_algorithm.as_ref())?,
            trailer: Claims::trailer_names(&request.headers),
            trailing: request.trailing_headers,
        };
        let failure = Failure::default();
        let body = claims.body(input.body, &failure, None)?;
        let part = self.objects.put_part(&input.bucket, &input.key, &input.upload_id, number, body).await;
        let part = part.map_err(|error| failure.explain(error))?;
        let mut output = UploadPartOutput { e_tag: Some(strong(&part.etag)), ..Default::default() };
        show!(output, &part.checksums);
        Ok(S3Response::new(output))
    }

    pub async fn complete(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let input = request.input;
        let expected = claimed!(input);
        let claims = claims(input.multipart_upload)?;
        let precondition = precondition(input.if_match, input.if_none_match)?;
        let (bucket, key, upload) = (input.bucket, input.key, input.upload_id);
        match self.objects.upload(&bucket, &key, &upload).await {
            Ok(started) => {
                let kind = input.checksum_type.as_ref().map(ChecksumType::as_str);
                let promised = started.checksum.as_ref().map(|(_, kind)| kind.as_str());
                if kind.is_some() && kind != promised {
                    let message = "The upload was created using another checksum type. The complete request must include the same checksum type.";
                    return Err(fault(S3ErrorCode::InvalidRequest, message));
                }
                let parts = self.objects.parts(&bucket, &key, &upload).await.or_fault()?;
                check_sizes(&parts, &claims, input.mpu_object_size)?;
            }
            // Completed already, perhaps; the store knows.
            Err(ObjectError::NoUpload(_)) => {}
            Err(error) => return Err(crate::fault::from_store(error)),
        }
        let done =
            self.objects.complete_upload(&bucket, &key, &upload, &claims, expected, precondition).await;
        let info = done.or_fault()?;
        let mut output = CompleteMultipartUploadOutput {
            location: Some(format!("/{bucket}/{key}")),
            bucket: Some(bucket),
            key: Some(key),
            e_tag: Some(strong(&info.etag)),
            checksum_type: checksums::kind(info.checksum_type.as_ref()),
            ..Default::default()
        };
        show!(output, &info.checksums);
        Ok(S3Response::new(output))
    }

    pub async fn abort(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let input = request.input;
        self.objects.abort_upload(&input.bucket, &input.key, &input.upload_id).await.or_fault()?;
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }

    pub async fn parts(&self, request: S3Request<ListPartsInput>) -> S3Result<S3Response<ListPartsOutput>> {
        let input = request.input;
        let limit = page(input.max_parts)?;
        let marker = input.part_number_marker.unwrap_or_default();
        let started = self.objects.upload(&input.bucket, &input.key, &input.upload_id).await.or_fault()?;
        let stored = self.objects.parts(&input.bucket, &input.key, &input.upload_id).await.or_fault()?;
        let mut rest =
            stored.into_iter().filter(|part| i64::from(part.number) > i64::from(marker)).peekable();
        let mut parts = Vec::new();
        while parts.len() < limit
            && let Some(part) = rest.next()
        {
            let mut shape = Part {
                e_tag: Some(strong(&part.etag)),
                last_modified: Some(shown(part.modified)),
                part_number: Some(part.number as i32),
                size: Some(part.size as i64),
                ..Default::default()
            };
            show!(shape, &part.checksums);
            parts.push(shape);
        }
        let truncated = limit > 0 && rest.peek().is_some();
        Ok(S3Response::new(ListPartsOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(input.upload_id),
            checksum_algorithm: started
                .checksum
                .as_ref()
                .map(|(name, _)| ChecksumAlgorithm::from(name.clone())),
            checksum_type: checksums::kind(started.checksum.as_ref().map(|(_, kind)| kind)),
            initiator: Some(self.initiator()),
            owner: Some(self.owner()),
            is_truncated: Some(truncated),
            max_parts: Some(limit as i32),
            part_number_marker: Some(marker),
            next_part_number_marker: parts.last().and_then(|part| part.part_number),
            parts: Some(parts),
            storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
            ..Default::default()
        }))
    }

    pub async fn uploads(
        &self,
        request: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        let input = request.input;
        let text = Encoding::of(input.encoding_type.as_ref())?;
        let limit = page(input.max_uploads)?;
        let key_marker = input.key_marker.clone().filter(|marker| !marker.is_empty());
        let id_marker = input.upload_id_marker.clone().filter(|marker| !marker.is_empty());
        let query = ListUploads {
            bucket: input.bucket.clone(),
            prefix: input.prefix.clone().unwrap_or_default(),
            delimiter: input.delimiter.clone(),
            after: key_marker.map(|key| (key, id_marker)),
            limit,
        };
        let listing = self.objects.uploads(&query).await.or_fault()?;
        let uploads = listing.uploads.into_iter().map(|upload| MultipartUpload {
            checksum_algorithm: upload
                .checksum
                .as_ref()
                .map(|(name, _)| ChecksumAlgorithm::from(name.clone())),
            checksum_type: checksums::kind(upload.checksum.as_ref().map(|(_, kind)| kind)),
            initiated: Some(shown(upload.started)),
            initiator: Some(self.initiator()),
            key: Some(text.show(&upload.key)),
            owner: Some(self.owner()),
            storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
            upload_id: Some(upload.id),
        });
        let truncated = listing.next.is_some();
        let (next_key, next_id) = listing.next.unzip();
        Ok(S3Response::new(ListMultipartUploadsOutput {
            bucket: Some(input.bucket),
            common_prefixes: Some(text.prefixes(listing.prefixes)),
            delimiter: input.delimiter.map(|delimiter| text.show(&delimiter)),
            encoding_type: input.encoding_type,
            is_truncated: Some(truncated),
            key_marker: Some(text.show(&input.key_marker.unwrap_or_default())),
            max_uploads: Some(limit as i32),
            next_key_marker: next_key.map(|key| text.show(&key)),
            next_upload_id_marker: next_id.flatten(),
            prefix: Some(text.show(&input.prefix.unwrap_or_default())),
            upload_id_marker: Some(input.upload_id_marker.unwrap_or_default()),
            uploads: Some(uploads.collect()),
            request_charged: None,
        }))
    }

    fn initiator(&self) -> Initiator {
        Initiator { display_name: None, id: self.owner().id }
    }
}

pub fn part_number(number: i32) -> S3Result<u32> {
    match number {
        1..=10_000 => Ok(number as u32),
        _ => Err(invalid("Part number must be an integer between 1 and 10000, inclusive")),
    }
}

/// The checksum that the finished object gets: the one asked for, or AWS's default.
fn checksum_of(algorithm: Option<&str>, kind: Option<&str>) -> S3Result<Option<(String, String)>> {
    let algorithm = algorithm.unwrap_or(checksums::DEFAULT);
    let kind = match (algorithm, kind) {
        ("CRC64NVME", None | Some("FULL_OBJECT")) => "FULL_OBJECT",
        ("SHA1" | "SHA256", None | Some("COMPOSITE")) => "COMPOSITE",
        ("CRC32" | "CRC32C", kind @ (None | Some("COMPOSITE" | "FULL_OBJECT"))) => {
            kind.unwrap_or("COMPOSITE")
        }
        (algorithm, kind) => {
            let algorithm = algorithm.to_ascii_lowercase();
            let kind = kind.unwrap_or_default();
            let message =
                format!("The {kind} checksum type cannot be used with the {algorithm} checksum algorithm.");
            return Err(fault(S3ErrorCode::InvalidRequest, message));
        }
    };
    Ok(Some((algorithm.into(), kind.into())))
}

/// The parts that a caller names, in their order.
fn claims(upload: Option<CompletedMultipartUpload>) -> S3Result<Vec<PartClaim>> {
    let malformed = || {
        let message =
            "The XML you provided was not well-formed or did not validate against our published schema";
        fault(S3ErrorCode::MalformedXML, message)
    };
    let parts = upload.and_then(|upload| upload.parts).unwrap_or_default();
    if parts.is_empty() || parts.len() > 10_000 {
        return Err(malformed());
    }
    let mut claims: Vec<PartClaim> = Vec::with_capacity(parts.len());
    for part in parts {
        let number = part_number(part.part_number.ok_or_else(malformed)?)?;
        if claims.last().is_some_and(|last| last.number >= number) {
            let message = "The list of parts was not in ascending order. The parts list must be specified in order by part number.";
            return Err(fault(S3ErrorCode::InvalidPartOrder, message));
        }
        let checksums = claimed!(part);
        let etag = part.e_tag.ok_or_else(malformed)?.into_value();
        claims.push(PartClaim { number, etag, checksums });
    }
    Ok(claims)
}

fn check_sizes(stored: &[PartInfo], claims: &[PartClaim], promised: Option<i64>) -> S3Result<()> {
    let size = |claim: &PartClaim| {
        let place = stored.binary_search_by_key(&claim.number, |part| part.number).ok()?;
        stored.get(place).map(|part| part.size)
    };
    let whole: u64 = claims.iter().filter_map(size).sum();
    let all_but_last = claims.iter().take(claims.len().saturating_sub(1));
    for claim in all_but_last {
        if size(claim).is_some_and(|size| size < SMALLEST_PART) {
            let message = "Your proposed upload is smaller than the minimum allowed size";
            return Err(fault(S3ErrorCode::EntityTooSmall, message));
        }
    }
    if promised.is_some_and(|promised| promised != whole as i64) {
        let message =
            format!("The parts are {whole} bytes together, which is not what x-amz-mp-object-size says");
        return Err(fault(S3ErrorCode::InvalidRequest, message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_types() {
        let of =
            |algorithm, kind| checksum_of(algorithm, kind).ok().flatten().map(|(a, k)| format!("{a} {k}"));
        assert_eq!(of(None, None).as_deref(), Some("CRC64NVME FULL_OBJECT"));
        assert_eq!(of(Some("CRC32"), None).as_deref(), Some("CRC32 COMPOSITE"));
        assert_eq!(of(Some("CRC32C"), Some("FULL_OBJECT")).as_deref(), Some("CRC32C FULL_OBJECT"));
        assert_eq!(of(Some("SHA256"), None).as_deref(), Some("SHA256 COMPOSITE"));
        assert_eq!(of(Some("SHA1"), Some("FULL_OBJECT")), None);
        assert_eq!(of(Some("CRC64NVME"), Some("COMPOSITE")), None);
    }

    #[test]
    fn parts_ascend() {
        let upload = |numbers: &[i32]| {
            let part = |number: &i32| CompletedPart {
                e_tag: Some(strong("e")),
                part_number: Some(*number),
                ..Default::default()
            };
            Some(CompletedMultipartUpload { parts: Some(numbers.iter().map(part).collect()) })
        };
        let code =
            |numbers: &[i32]| claims(upload(numbers)).err().map(|error| error.code().as_str().to_string());
        assert_eq!(code(&[1, 2, 9]), None);
        assert_eq!(code(&[2, 1]).as_deref(), Some("InvalidPartOrder"));
        assert_eq!(code(&[1, 1]).as_deref(), Some("InvalidPartOrder"));
        assert_eq!(code(&[0]).as_deref(), Some("InvalidArgument"));
        assert_eq!(code(&[]).as_deref(), Some("MalformedXML"));
    }

    #[test]
    fn small_parts_come_last() {
        let part = |number, size| PartInfo { number, size, ..Default::default() };
        let claim = |number| PartClaim { number, ..Default::default() };
        let stored = [part(1, SMALLEST_PART), part(2, 1), part(3, 1)];
        assert!(check_sizes(&stored, &[claim(1), claim(2)], Some(SMALLEST_PART as i64 + 1)).is_ok());
        assert!(check_sizes(&stored, &[claim(1), claim(2)], Some(1)).is_err());
        assert!(check_sizes(&stored, &[claim(2), claim(3)], None).is_err());
    }
}
