//! Landlock rules: the HTTP thread may read files in some directories, the broker thread may write files in one, and nothing else.
//!
//! The threads of state and targets cannot use Landlock with any rules: under it the kernel refuses every call that needs the
//! right to trace a process, to root, too. That is `/proc/<pid>/io` for the state thread and `/proc/<pid>/root` for the targets
//! thread.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetStatus, Scope, path_beneath_rules,
};

use super::SandboxError;

/// Whether each existing file of `files` can be opened.
pub(super) fn can_be_read(files: &[impl AsRef<Path>]) -> bool {
    files.iter().all(|path| match File::open(path) {
        Ok(_) => true,
        Err(error) => error.kind() != std::io::ErrorKind::PermissionDenied,
    })
}

/// Restricts the calling thread to reading `files` and other files of the same directories, so that a file can be
/// replaced. The thread may neither connect to another machine nor listen on a further port. Rights that this
/// kernel's Landlock does not support are left out.
pub(super) fn read_only(files: &[impl AsRef<Path>]) -> Result<(), SandboxError> {
    restrict(directories(files), AccessFs::ReadFile.into())
}

/// Restricts the calling thread in the same way, to making, replacing and removing files in `directory`.
pub(super) fn write_only(directory: &Path) -> Result<(), SandboxError> {
    let access =
        AccessFs::WriteFile | AccessFs::Truncate | AccessFs::MakeReg | AccessFs::RemoveFile;
    restrict([directory.to_owned()], access)
}

fn restrict(
    directories: impl IntoIterator<Item = PathBuf>,
    access: BitFlags<AccessFs>,
) -> Result<(), SandboxError> {
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(ABI::V5))?
        .handle_access(AccessNet::from_all(ABI::V4))?
        .scope(Scope::from_all(ABI::V6))?
        .create()?
        .add_rules(path_beneath_rules(directories, access))?
        .restrict_self()?;
    match status.ruleset {
        RulesetStatus::NotEnforced => Err(SandboxError::NoLandlock),
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
    }
}

/// The directories of `files`, both by their names and at the end of symbolic links, which certbot and Kubernetes
/// use.
fn directories(files: &[impl AsRef<Path>]) -> BTreeSet<PathBuf> {
    let named = files.iter().map(|path| path.as_ref().to_owned());
    let real = files.iter().filter_map(|path| fs::canonicalize(path).ok());
    named
        .chain(real)
        .filter_map(|path| match path.parent() {
            Some(parent) if parent == Path::new("") => Some(PathBuf::from(".")),
            parent => parent.map(Path::to_owned),
        })
        .collect()
}
