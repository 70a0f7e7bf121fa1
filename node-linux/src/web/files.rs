//! Files, for machines.

mod upload;

use axum::{
    Json,
    body::Body,
    extract::{Multipart, Path, Query, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::{Stream, stream};
use serde::Deserialize;
use symphony_adapters::{
    database::{Database, DatabaseError, Outcome, Page, StoredFile},
    http::{Problem, api::FileResponse},
};
use tokio::sync::Semaphore;

use super::{WebState, authority::Authorized, failure, items};

/// Largest content, in bytes.
const CONTENT_SIZE_MAX: usize = 64 * 1024 * 1024;
/// Largest body of `POST /v1/files`, in bytes: the content and the form around it.
pub(super) const BODY_SIZE_MAX: usize = CONTENT_SIZE_MAX + 64 * 1024;
/// Files held in memory at once while they are received: a container of the compose cluster has 192 MiB.
static UPLOADS: Semaphore = Semaphore::const_new(1);
/// Bytes of a download in memory.
const PART_LEN: u32 = 64 * 1024;

/// `POST /v1/files`: stores a file under the term of the request; 201 if it is new, 200 if not.
pub(super) async fn store(
    State(web): State<WebState>,
    Authorized(token, form): Authorized<Multipart>,
) -> Result<Response, Problem> {
    let _permit = UPLOADS.acquire().await;
    let file = upload::read(form).await?;
    let outcome = web.database.store_file(&token, &file).await;
    let outcome = outcome.map_err(|error| failure::of_write(&web, &token, &error))?;
    metrics::counter!("symphony_files_received_total", "outcome" => items::label(outcome)).increment(1);
    let location = format!("/v1/files/{}", file.sha256);
    let answer = Json(FileResponse { term: token.term, sha256: file.sha256, outcome });
    match outcome {
        Outcome::Stored => Ok((StatusCode::CREATED, [(header::LOCATION, location)], answer).into_response()),
        Outcome::Duplicate => Ok(answer.into_response()),
        Outcome::Conflict => {
            Err(Problem::content(StatusCode::UNPROCESSABLE_ENTITY, "this key was used before for another file"))
        }
    }
}

/// Which page of files.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct FileQuery {
    cursor: Option<String>,
    limit: Option<u32>,
}

/// `GET /v1/files`: a page, with a link to the next one.
pub(super) async fn list(
    State(web): State<WebState>,
    Query(query): Query<FileQuery>,
) -> Result<(HeaderMap, Json<Page<StoredFile>>), Problem> {
    let page = web.database.files(query.cursor.as_deref(), query.limit).await;
    let page = page.map_err(|error| failure::of_read(&error))?;
    let headers = items::link_to_next("/v1/files", page.next.as_deref(), |link| {
        if let Some(limit) = query.limit {
            link.append_pair("limit", &limit.to_string());
        }
    });
    Ok((headers, Json(page)))
}

/// `GET /v1/files/{sha256}`: everything about it but its content.
pub(super) async fn one(State(web): State<WebState>, Path(sha256): Path<String>) -> Result<Json<StoredFile>, Problem> {
    find(&web, &sha256).await.map(Json)
}

/// `GET /v1/files/{sha256}/content`: a download.
pub(super) async fn content(
    State(web): State<WebState>,
    Path(sha256): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let file = find(&web, &sha256).await?;
    let tag = format!("\"{}\"", file.sha256);
    let mut answer = HeaderMap::new();
    // The address names the content: it never changes.
    answer.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=31536000, immutable"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        answer.insert(header::ETAG, tag);
    }
    if is_known(&headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, answer).into_response());
    }
    let media_type = HeaderValue::from_str(&file.content_type)
        .unwrap_or_else(|_| HeaderValue::from_static("application/octet-stream"));
    answer.insert(header::CONTENT_TYPE, media_type);
    answer.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'"));
    if let Ok(disposition) = HeaderValue::from_str(&disposition(&file.path)) {
        answer.insert(header::CONTENT_DISPOSITION, disposition);
    }
    answer.insert(header::CONTENT_LENGTH, file.size.into());
    Ok((answer, Body::from_stream(parts(web.database, file))).into_response())
}

/// The content as fast as the client takes it; an error cuts the answer off, short of the length that was announced.
fn parts(database: Database, file: StoredFile) -> impl Stream<Item = Result<Vec<u8>, DatabaseError>> {
    stream::try_unfold(0, move |offset| {
        let (database, sha256, size) = (database.clone(), file.sha256.clone(), file.size);
        async move {
            if offset >= size {
                return Ok(None);
            }
            let part = database.file_content(&sha256, offset, PART_LEN).await?;
            let end = offset + part.len() as u64;
            match part.is_empty() {
                true => Err(DatabaseError::Unavailable(format!("{offset} of {size} bytes"))),
                false => Ok(Some((part, end))),
            }
        }
    })
}

async fn find(web: &WebState, sha256: &str) -> Result<StoredFile, Problem> {
    let file = web.database.file(sha256).await.map_err(|error| failure::of_read(&error))?;
    file.ok_or_else(|| Problem::not_found("there is no file of this SHA-256"))
}

fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|known| known.to_str().ok()).unwrap_or_default();
    known.split(',').map(|known| known.trim().trim_start_matches("W/")).any(|known| known == tag || known == "*")
}

/// `Content-Disposition` of a download (RFC 6266): the last part of `path`, in plain ASCII and, for clients that read
/// it, in full.
fn disposition(path: &str) -> String {
    let name = path.rsplit(['/', '\\']).find(|name| !name.is_empty()).unwrap_or("file");
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ' ');
    let plain: String = name.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    let mut full = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_') {
            full.push(char::from(byte));
        } else {
            full.push_str(&format!("%{byte:02X}"));
        }
    }
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{full}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_cannot_break_out_of_its_header() {
        assert_eq!(
            disposition("/out/a\"; b\r\nX: 1.csv"),
            "attachment; filename=\"a__ b__X_ 1.csv\"; filename*=UTF-8''a%22%3B%20b%0D%0AX%3A%201.csv"
        );
        assert_eq!(disposition("/"), "attachment; filename=\"file\"; filename*=UTF-8''file");
        assert!(disposition("/été.csv").ends_with("filename*=UTF-8''%C3%A9t%C3%A9.csv"));
    }

    #[test]
    fn a_client_that_has_the_content_is_not_sent_it_again() {
        let known = |value: &'static str| {
            is_known(&HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::from_static(value))]), "\"aa\"")
        };
        assert!(known("\"bb\", W/\"aa\"") && known("*") && !known("\"bb\""));
        assert!(!is_known(&HeaderMap::new(), "\"aa\""));
    }
}
