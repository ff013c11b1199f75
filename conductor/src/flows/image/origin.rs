//! Where the bytes behind a URL of `instance_info` come from.

use std::path::{Path, PathBuf};

use super::fault::InfoError;
use crate::images::Origin;

/// Host under which agents ask for files that lie in the conductor's own image directory. Never resolved: requests
/// for it travel over lent connections only.
const LOCAL_HOST: &str = "conductor.invalid";

pub(super) fn is_url(text: &str) -> bool {
    let starts =
        |scheme: &str| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    starts("http://") || starts("https://")
}

/// The URL that the agent asks for, and its origin. `folder` keeps files of the same name apart.
pub(super) fn origin(
    key: &'static str,
    source: &str,
    folder: &str,
    image_dir: &Path,
) -> Result<(String, Origin), InfoError> {
    if is_url(source) {
        return Ok((source.to_owned(), Origin::Http { url: source.to_owned(), authorization: None }));
    }
    let Some(path) = source.strip_prefix("file://") else {
        return Err(InfoError::instance(key, format!("is neither http(s):// nor file://: {source}")));
    };
    let path = confined(key, Path::new(path), image_dir)?;
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("image");
    let plain: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect();
    Ok((format!("http://{LOCAL_HOST}/{folder}{plain}"), Origin::File(path)))
}

/// Only files of the image directory are served, wherever links lead.
fn confined(key: &'static str, path: &Path, image_dir: &Path) -> Result<PathBuf, InfoError> {
    let fail = |reason: String| InfoError::instance(key, reason);
    let real = path.canonicalize().map_err(|error| fail(format!("{}: {error}", path.display())))?;
    let root = image_dir.canonicalize().map_err(|error| {
        fail(format!("cannot be found: image directory {}: {error}", image_dir.display()))
    })?;
    if real.starts_with(&root) && real.is_file() {
        return Ok(real);
    }
    Err(fail(format!("{} is not a file in {}", path.display(), root.display())))
}
