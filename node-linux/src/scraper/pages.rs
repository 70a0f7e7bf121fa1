//! What is remembered of each page: its validators, and what it held, so that a 304 is as good as the page.

use std::{collections::HashSet, io, path::PathBuf};

use serde::{Deserialize, Serialize};
use tokio::fs;
use url::Url;

use super::{
    extract::{PageContent, digest},
    fetch::Validators,
    files,
};

/// A page as last seen.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Remembered {
    url: Url,
    /// [`super::plan::Plan::fingerprint`] by which it was read.
    fingerprint: String,
    pub(super) validators: Validators,
    pub(super) content: PageContent,
}

/// A folder with one file per page. It only saves work: whatever cannot be read is fetched anew.
pub(super) struct Pages {
    folder: PathBuf,
    fingerprint: String,
}

impl Pages {
    pub(super) fn new(folder: PathBuf, fingerprint: String) -> Self {
        Self { folder, fingerprint }
    }

    /// What is known of a page, if it was read as it would be read today.
    pub(super) async fn recall(&self, url: &Url) -> Option<Remembered> {
        let bytes = files::read(&self.path(url)).await.ok()??;
        let page: Remembered = serde_json::from_slice(&bytes).ok()?;
        (page.fingerprint == self.fingerprint && page.url == *url && !page.validators.is_empty()).then_some(page)
    }

    /// Without sync: what a crash of the machine takes is fetched anew.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) async fn remember(&self, url: &Url, validators: Validators, content: &PageContent) -> io::Result<()> {
        let path = self.path(url);
        if validators.is_empty() {
            return ignore_missing(fs::remove_file(&path).await);
        }
        let page = Remembered {
            url: url.clone(),
            fingerprint: self.fingerprint.clone(),
            validators,
            content: content.clone(),
        };
        let temporary = path.with_added_extension("part");
        fs::write(&temporary, serde_json::to_vec(&page)?).await?;
        fs::rename(&temporary, &path).await
    }

    /// Forgets all pages but these. After a run that was not complete, only when it is needed to bound the folder:
    /// pages that were out of reach this time may be there again the next.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) async fn keep_only(&self, known: &HashSet<Url>, complete: bool) -> io::Result<()> {
        let keep: HashSet<String> = known.iter().map(file_name).collect();
        let names = files::names(&self.folder).await?;
        if !complete && names.len() / 4 <= known.len() {
            return Ok(());
        }
        for name in names {
            if !keep.contains(&name) {
                ignore_missing(fs::remove_file(self.folder.join(name)).await)?;
            }
        }
        Ok(())
    }

    fn path(&self, url: &Url) -> PathBuf {
        self.folder.join(file_name(url))
    }
}

fn file_name(url: &Url) -> String {
    format!("{}.json", digest(&url.as_str()))
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_page_is_recalled_only_as_it_would_be_read_today() {
        let folder = tempfile::tempdir().unwrap();
        let pages = |fingerprint: &str| Pages::new(folder.path().to_owned(), fingerprint.to_owned());
        let url = Url::parse("http://h.example/a").unwrap();
        let validators = Validators { etag: Some("\"1\"".to_owned()), last_modified: None };
        let content = PageContent { links: vec![url.clone()], ..PageContent::default() };
        pages("1").remember(&url, validators.clone(), &content).await.unwrap();
        let page = pages("1").recall(&url).await.unwrap();
        assert_eq!((page.validators, page.content), (validators.clone(), content.clone()));
        assert!(pages("2").recall(&url).await.is_none());

        std::fs::write(pages("1").path(&url), b"{\"url\":").unwrap();
        assert!(pages("1").recall(&url).await.is_none(), "torn");

        pages("1").remember(&url, validators, &content).await.unwrap();
        pages("1").keep_only(&HashSet::from([url.clone()]), true).await.unwrap();
        assert!(pages("1").recall(&url).await.is_some());
        pages("1").keep_only(&HashSet::new(), true).await.unwrap();
        assert!(pages("1").recall(&url).await.is_none(), "forgotten");
    }
}
