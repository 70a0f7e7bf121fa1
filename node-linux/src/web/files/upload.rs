//! The form in which a file arrives.

use axum::{
    extract::{
        Multipart,
        multipart::{Field, MultipartError},
    },
    http::StatusCode,
};
use sha2::{Digest, Sha256};
use symphony_adapters::{database::NewFile, http::Problem};

use super::CONTENT_SIZE_MAX;

/// Longest text in the form, in bytes.
const TEXT_SIZE_MAX: usize = 4 * 1024;

/// Reads the form to its end and verifies the hash.
pub(super) async fn read(mut form: Multipart) -> Result<NewFile, Problem> {
    let (mut path, mut modified_at_ms, mut sha256, mut file) = (None, None, None, None);
    while let Some(part) = form.next_field().await.map_err(|error| of_form(&error))? {
        let name = part.name().unwrap_or_default().to_owned();
        let is_repeated = match name.as_str() {
            "path" => path.replace(text(part, &name).await?).is_some(),
            "modified_at_ms" => modified_at_ms.replace(text(part, &name).await?).is_some(),
            "sha256" => sha256.replace(text(part, &name).await?).is_some(),
            "file" => file.replace(content(part).await?).is_some(),
            _ => return Err(Problem::unprocessable(format!("the form has an unknown part {name:?}"))),
        };
        if is_repeated {
            return Err(Problem::unprocessable(format!("the form has more than one part {name:?}")));
        }
    }
    let missing = |name: &str| Problem::unprocessable(format!("the form has no part {name:?}"));
    let file = file.ok_or_else(|| missing("file"))?;
    let modified_at_ms = modified_at_ms.ok_or_else(|| missing("modified_at_ms"))?;
    let sha256 = sha256.ok_or_else(|| missing("sha256"))?;
    if sha256 != file.sha256 {
        let problem = Problem::unprocessable("the content does not have the SHA-256 that the form says");
        return Err(problem.with("sha256", file.sha256));
    }
    Ok(NewFile {
        path: valid_path(path.ok_or_else(|| missing("path"))?)?,
        modified_at_ms: modified_at_ms
            .parse()
            .map_err(|_| Problem::unprocessable("modified_at_ms is not a number of milliseconds"))?,
        content_type: file.content_type,
        sha256,
        content: file.content,
    })
}

struct Content {
    content_type: String,
    sha256: String,
    content: Vec<u8>,
}

async fn content(mut part: Field<'_>) -> Result<Content, Problem> {
    let content_type = part.content_type().unwrap_or("application/octet-stream").to_owned();
    let mut hash = Sha256::new();
    let mut content = Vec::new();
    while let Some(chunk) = part.chunk().await.map_err(|error| of_form(&error))? {
        if content.len().saturating_add(chunk.len()) > CONTENT_SIZE_MAX {
            let detail = format!("a file has at most {CONTENT_SIZE_MAX} bytes");
            return Err(Problem::content(StatusCode::PAYLOAD_TOO_LARGE, detail));
        }
        hash.update(&chunk);
        content.extend_from_slice(&chunk);
    }
    Ok(Content { content_type, sha256: hex::encode(hash.finalize()), content })
}

async fn text(mut part: Field<'_>, name: &str) -> Result<String, Problem> {
    let mut text = Vec::new();
    while let Some(chunk) = part.chunk().await.map_err(|error| of_form(&error))? {
        if text.len().saturating_add(chunk.len()) > TEXT_SIZE_MAX {
            return Err(Problem::unprocessable(format!("{name} has more than {TEXT_SIZE_MAX} bytes")));
        }
        text.extend_from_slice(&chunk);
    }
    String::from_utf8(text).map_err(|_| Problem::unprocessable(format!("{name} is not UTF-8")))
}

fn valid_path(path: String) -> Result<String, Problem> {
    if path.is_empty() || path.chars().any(char::is_control) {
        let detail = "path is empty or has control characters";
        return Err(Problem::content(StatusCode::UNPROCESSABLE_ENTITY, detail));
    }
    Ok(path)
}

fn of_form(error: &MultipartError) -> Problem {
    Problem::new(error.status()).with_detail(error.body_text())
}
