//! The definitions that come with the program, and those of the operator's folder.

use std::io;
use std::path::Path;

use crate::shell::DefinitionText;

/// A definition file's largest size.
const TEXT_MAX: u64 = 1 << 20;

/// The definitions that come with the program.
pub fn shipped() -> Vec<DefinitionText> {
    let text = |path: &str, text: &str| DefinitionText { path: path.into(), text: text.into() };
    vec![
        text("workflows/definitions/cleanup.yaml", include_str!("../../definitions/cleanup.yaml")),
        text("workflows/definitions/establish.yaml", include_str!("../../definitions/establish.yaml")),
        text("workflows/definitions/failback.yaml", include_str!("../../definitions/failback.yaml")),
        text("workflows/definitions/failover.yaml", include_str!("../../definitions/failover.yaml")),
        text("workflows/definitions/reprotect.yaml", include_str!("../../definitions/reprotect.yaml")),
        text("workflows/definitions/switchover.yaml", include_str!("../../definitions/switchover.yaml")),
    ]
}

/// The definitions of a folder (`*.yaml`, `*.yml`, `*.json`), by name of file. One with the name of a shipped
/// definition replaces it when both are given to the runner in this order.
///
/// # Errors
///
/// The folder or a file cannot be read, or a file is larger than 1 MiB.
pub fn in_folder(folder: &Path) -> io::Result<Vec<DefinitionText>> {
    let mut paths: Vec<_> =
        std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    paths.retain(|path| {
        path.extension().and_then(|e| e.to_str()).is_some_and(|e| matches!(e, "yaml" | "yml" | "json"))
    });
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let size = path.metadata()?.len();
            if size > TEXT_MAX {
                let why = format!("{} has {size} bytes, more than {TEXT_MAX}", path.display());
                return Err(io::Error::new(io::ErrorKind::InvalidData, why));
            }
            Ok(DefinitionText { text: std::fs::read_to_string(&path)?, path: path.display().to_string() })
        })
        .collect()
}
