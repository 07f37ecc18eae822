//! A folder of the operator's own, whose files are served in place of the page.

use crate::page::content_type;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use futures_util::stream;
use std::fs::Metadata;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::UNIX_EPOCH;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, Take};

/// What of a file is read at once: as much as a slow client holds of it.
const CHUNK_BYTES: usize = 64 * 1024;

/// A folder with an `index.html`. Files are read anew for each request, so that who works on them
/// sees what they do; those that begin with a dot, or lie elsewhere by a link, are not served.
#[derive(Clone, Debug)]
pub struct Folder {
    /// Without links.
    root: PathBuf,
}

impl Folder {
    /// Takes a folder.
    ///
    /// # Errors
    /// If it can't be read, or has no `index.html`.
    pub fn open(path: &Path) -> io::Result<Self> {
        let root = path.canonicalize()?;
        match root.join("index.html").is_file() {
            true => Ok(Self { root }),
            false => Err(io::Error::other("needs a folder with an index.html")),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Answers with the file of this name, or for a folder in it with its `index.html`; `None` if
    /// there is none.
    pub(crate) async fn serve(&self, name: &str, headers: &HeaderMap) -> Option<Response> {
        let path = self.find(name).await?;
        let metadata = tokio::fs::metadata(&path).await.ok()?;
        if !metadata.is_dir() {
            return respond(&path, &metadata, headers).await;
        }
        if !name.is_empty() && !name.ends_with('/') {
            // Its files are named from inside.
            let last = name.rsplit('/').next().unwrap_or(name);
            return Some(Redirect::temporary(&format!("{last}/")).into_response());
        }
        let index = self.find(&format!("{name}index.html")).await?;
        let metadata = tokio::fs::metadata(&index).await.ok()?;
        respond(&index, &metadata, headers).await
    }

    /// Where something in the folder is, without links.
    async fn find(&self, name: &str) -> Option<PathBuf> {
        let is_plain = |part: Component<'_>| match part {
            Component::Normal(name) => !name.as_encoded_bytes().starts_with(b"."),
            Component::Prefix(_) | Component::RootDir | Component::CurDir => false,
            Component::ParentDir => false,
        };
        if !Path::new(name).components().all(is_plain) {
            return None;
        }
        let path = tokio::fs::canonicalize(self.root.join(name)).await.ok()?;
        path.starts_with(&self.root).then_some(path)
    }
}

async fn respond(path: &Path, metadata: &Metadata, headers: &HeaderMap) -> Option<Response> {
    let changed = metadata.modified().ok()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    let tag = format!("\"{:x}-{:x}\"", changed.as_nanos(), metadata.len());
    let tag = HeaderValue::try_from(tag).expect("hex digits are visible");
    let fresh = [
        (header::ETAG, tag.clone()),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    if headers.get(header::IF_NONE_MATCH) == Some(&tag) {
        return Some((StatusCode::NOT_MODIFIED, fresh).into_response());
    }
    let file = File::open(path).await.ok()?;
    let name = path.file_name()?.to_string_lossy();
    let about = [
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type(&name))),
        (header::CONTENT_LENGTH, HeaderValue::from(metadata.len())),
    ];
    let body = Body::from_stream(stream::try_unfold(file.take(metadata.len()), next));
    Some((fresh, about, body).into_response())
}

async fn next(mut file: Take<File>) -> io::Result<Option<(Bytes, Take<File>)>> {
    let mut chunk = Vec::with_capacity(CHUNK_BYTES);
    let read = file.read_buf(&mut chunk).await?;
    Ok((read > 0).then(|| (chunk.into(), file)))
}
