//! Files that survive a crash whole or not at all.

use std::path::Path;

use tokio::{fs, io, io::AsyncWriteExt as _};

/// Replaces a file: temporary file, sync, rename, sync of the folder.
///
/// # Errors
/// Those of the file system; the old content is still there.
pub(super) async fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = path.with_added_extension("part");
    let mut file = fs::File::create(&temporary).await?;
    file.write_all(content).await?;
    file.sync_all().await?;
    drop(file);
    fs::rename(&temporary, path).await?;
    match path.parent() {
        Some(folder) => fs::File::open(folder).await?.sync_all().await,
        None => Ok(()),
    }
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
