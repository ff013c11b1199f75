//! The image's own EFI files, copied from its root file system into the EFI system partition.

use std::io::{self, Read, Seek, Write};
use std::ops::Range;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use fatfs::{FileSystem, FsOptions};

use crate::partitioned::ext4_tree::{Ask, WalkError, walk};
use crate::partitioned::window::Window;
use crate::partitioned::{FatNames, LayoutError, mend_folders};
use crate::veil::Veil;

/// Where images keep what belongs into the EFI system partition's folder of the same last name.
const SOURCE: [&str; 3] = ["boot", "efi", "EFI"];
const FOLDER: &str = "EFI";

pub(super) enum Outcome {
    /// So many files; none when the image has no such folder.
    Copied(u32),
    /// The file system cannot be looked into.
    Unreadable(String),
}

/// Copies the tree `/boot/efi/EFI` of the ext2, ext3 or ext4 file system in `root` to the FAT file system in `esp`.
pub(super) fn copy(veil: &Veil<'_>, root: &Range<u64>, esp: &Range<u64>) -> Result<Outcome, LayoutError> {
    let mut window = Window::new(veil, esp.clone());
    let (told, asks) = sync_channel(2);
    let (answer, answers) = sync_channel(1);
    let len = root.end - root.start;
    let walker = thread::Builder::new()
        .name("image-efi-files".to_owned())
        .spawn(move || walk(len, &SOURCE, &told, answers))
        .map_err(|_| LayoutError::Internal("cannot start a thread"))?;
    let stored = store(&mut window, veil, root, &asks, &answer);
    // Whoever still waits at the other end shall not.
    drop((asks, answer));
    let walked = walker.join();
    let files = stored?;
    match walked {
        Ok(Ok(())) => {}
        Ok(Err(WalkError::Unreadable(why))) => return Ok(Outcome::Unreadable(why)),
        Ok(Err(WalkError::Entry { path, source })) => {
            return Err(LayoutError::EfiFile { path, source: io::Error::other(source) });
        }
        Ok(Err(WalkError::Abandoned)) => {
            return Err(LayoutError::Internal("the EFI files were left in the middle"));
        }
        // Nothing was told of a tree yet, or else the tree is not whole.
        Err(_) if files == 0 => {
            return Ok(Outcome::Unreadable("its structures contradict each other".into()));
        }
        Err(_) => {
            let source = io::Error::other("its structures contradict each other");
            return Err(LayoutError::EfiFile { path: format!("/{}", SOURCE.join("/")), source });
        }
    }
    mend_folders(&mut window)
        .and_then(|()| window.store_all())
        .map_err(|source| LayoutError::EfiFile { path: format!("/{FOLDER}"), source })?;
    Ok(Outcome::Copied(files))
}

/// Answers what the walker wants to read and keeps what it tells, until it tells nothing more.
fn store(
    window: impl Read + Write + Seek,
    veil: &Veil<'_>,
    root: &Range<u64>,
    asks: &Receiver<Ask>,
    answer: &SyncSender<Vec<u8>>,
) -> Result<u32, LayoutError> {
    let failed = |path: &str, source| LayoutError::EfiFile { path: path.to_owned(), source };
    let esp = FileSystem::new(window, FsOptions::new()).map_err(|source| failed("/", source))?;
    let mut files = 0;
    {
        let top = esp.root_dir();
        let mut names = FatNames::default();
        let mut file: Option<(String, fatfs::File<'_, _>)> = None;
        for ask in asks {
            match ask {
                Ask::Read { offset, len } => {
                    let mut bytes = vec![0; len];
                    veil.read(root.start + offset, &mut bytes)?;
                    if answer.send(bytes).is_err() {
                        break;
                    }
                }
                Ask::Directory(path) => {
                    let path = checked(path, &mut names)?;
                    // The first is the one that the folder itself is not told of.
                    top.create_dir(FOLDER)
                        .and_then(|_| top.create_dir(&path))
                        .map_err(|source| failed(&path, source))?;
                }
                Ask::File(path) => {
                    let path = checked(path, &mut names)?;
                    let made = top.create_dir(FOLDER).and_then(|_| top.create_file(&path));
                    file = Some((path.clone(), made.map_err(|source| failed(&path, source))?));
                    files += 1;
                }
                Ask::Bytes(bytes) => {
                    let (path, file) =
                        file.as_mut().ok_or(LayoutError::Internal("content without a file"))?;
                    file.write_all(&bytes)
                        .and_then(|()| file.flush())
                        .map_err(|source| failed(path, source))?;
                }
            }
        }
    }
    // Counts the free clusters, so that the file system tells of them.
    esp.stats().and_then(|_| esp.unmount()).map_err(|source| failed("/", source))?;
    Ok(files)
}

/// The path in the EFI system partition.
fn checked(path: String, names: &mut FatNames) -> Result<String, LayoutError> {
    match names.take(&path) {
        Ok(()) => Ok(format!("{FOLDER}/{path}")),
        Err(source) => Err(LayoutError::EfiFile { path, source }),
    }
}
