//! Files that survive a crash whole or not at all.
//!
//! What must be on the disk is written by the standard library, on a thread for blocking work: tokio's file writes in
//! the background, and its sync says nothing of a write that failed.

use std::{fs::File, io::Write as _, path::Path, sync::Arc};

use tokio::{fs, io, task::spawn_blocking};

/// Replaces a file: temporary file, sync, rename, sync of the folder.
///
/// # Errors
/// Those of the file system; the old content is still there.
pub(super) async fn replace(path: &Path, content: Vec<u8>) -> io::Result<()> {
    let path = path.to_owned();
    blocking(move || {
        let temporary = path.with_added_extension("part");
        if let Err(error) = write_whole(&temporary, &content).and_then(|()| std::fs::rename(&temporary, &path)) {
            // A full disk needs the space. The error that matters is the first one.
            let _ = std::fs::remove_file(&temporary);
            return Err(error);
        }
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    })
    .await
}

/// Writes at the end of a file; synced, it is on the disk after that.
///
/// # Errors
/// Those of the file system; some of it may have been written.
pub(super) async fn append(file: &Arc<File>, content: Vec<u8>, synced: bool) -> io::Result<()> {
    let file = Arc::clone(file);
    blocking(move || {
        (&*file).write_all(&content)?;
        if synced { file.sync_data() } else { Ok(()) }
    })
    .await
}

fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(content)?;
    file.sync_all()
}

async fn blocking(work: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
    spawn_blocking(work).await.map_err(io::Error::other)?
}

/// The whole file; none if there is no such file.
///
/// # Errors
/// Those of the file system.
pub(super) async fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path).await {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Names of the finished files in a folder, in order.
///
/// # Errors
/// Those of the file system.
pub(super) async fn names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    let mut entries = match fs::read_dir(folder).await {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(names),
        Err(error) => return Err(error),
    };
    while let Some(entry) = entries.next_entry().await? {
        if let Ok(name) = entry.file_name().into_string()
            && !name.ends_with(".part")
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}
