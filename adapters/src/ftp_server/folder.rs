//! The folder served, opened once and shared by all sessions.

use std::{
    fmt::Debug,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use tokio::io::AsyncRead;
use unftp_core::{
    auth::DefaultUser,
    storage::{FEATURE_RESTART, Fileinfo, Metadata as _, Result, StorageBackend},
};
use unftp_sbe_fs::{Filesystem, Meta};

/// A [`Filesystem`] that can be handed to any number of sessions: opening it may fail, and libunftp's generator of
/// storage may not.
#[derive(Clone, Debug)]
pub(super) struct Folder(Arc<Filesystem>);

impl Folder {
    pub(super) fn new(files: Filesystem) -> Self {
        Self(Arc::new(files))
    }
}

#[async_trait]
impl StorageBackend<DefaultUser> for Folder {
    type Metadata = Meta;

    fn supported_features(&self) -> u32 {
        FEATURE_RESTART
    }

    async fn metadata<P: AsRef<Path> + Send + Debug>(&self, user: &DefaultUser, path: P) -> Result<Meta> {
        self.0.metadata(user, path).await
    }

    async fn list<P: AsRef<Path> + Send + Debug>(
        &self,
        user: &DefaultUser,
        path: P,
    ) -> Result<Vec<Fileinfo<PathBuf, Meta>>> {
        let mut files = self.0.list(user, path).await?;
        // A line break in a name would forge a line of the listing. A link would pass for a file, wherever it leads.
        files.retain(|file| !file.metadata.is_symlink() && !file.path.to_string_lossy().contains(char::is_control));
        Ok(files)
    }

    async fn get<P: AsRef<Path> + Send + Debug>(
        &self,
        user: &DefaultUser,
        path: P,
        start: u64,
    ) -> Result<Box<dyn AsyncRead + Send + Sync + Unpin>> {
        self.0.get(user, path, start).await
    }

    async fn put<P: AsRef<Path> + Send + Debug, R: AsyncRead + Send + Sync + Unpin + 'static>(
        &self,
        user: &DefaultUser,
        input: R,
        path: P,
        start: u64,
    ) -> Result<u64> {
        self.0.put(user, input, path, start).await
    }

    async fn del<P: AsRef<Path> + Send + Debug>(&self, user: &DefaultUser, path: P) -> Result<()> {
        self.0.del(user, path).await
    }

    async fn mkd<P: AsRef<Path> + Send + Debug>(&self, user: &DefaultUser, path: P) -> Result<()> {
        self.0.mkd(user, path).await
    }

    async fn rename<P: AsRef<Path> + Send + Debug>(&self, user: &DefaultUser, from: P, to: P) -> Result<()> {
        self.0.rename(user, from, to).await
    }

    async fn rmd<P: AsRef<Path> + Send + Debug>(&self, user: &DefaultUser, path: P) -> Result<()> {
        self.0.rmd(user, path).await
    }

    async fn cwd<P: AsRef<Path> + Send + Debug>(&self, user: &DefaultUser, path: P) -> Result<()> {
        self.0.cwd(user, path).await
    }
}
