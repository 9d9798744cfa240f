//! Writes OCI's image layout as one archive.
//!
//! It does no IO. In come files; out comes a tar of blobs, each named by its hash, and an index that leads to them. The archive
//! contains no time, and root owns all files.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::File;

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// The image for one architecture.
#[derive(Debug)]
pub(super) struct Image {
    /// OCI's name of the architecture.
    pub(super) architecture: &'static str,
    pub(super) files: Vec<File>,
}

/// The archive; `version` is the tag of the image in it.
pub(super) fn archive(images: &[Image], version: &str) -> Result<Vec<u8>> {
    let mut blobs = Blobs::default();
    let mut manifests = Vec::new();
    for image in images {
        let mut descriptor = manifest(&mut blobs, image, version)?;
        descriptor["platform"] = json!({"architecture": image.architecture, "os": "linux"});
        manifests.push(descriptor);
    }
    let is_single = manifests.len() == 1;
    let mut top = match manifests.pop() {
        Some(only) if is_single => only,
        last => {
            manifests.extend(last);
            blobs.add_json(INDEX, &index(manifests))
        }
    };
    top["annotations"] = json!({
        "org.opencontainers.image.ref.name": version,
        "io.containerd.image.name": format!("localhost/headcount:{version}"),
    });
    let mut files = vec![
        (
            "oci-layout".to_owned(),
            0o644,
            json!({"imageLayoutVersion": "1.0.0"})
                .to_string()
                .into_bytes(),
        ),
        (
            "index.json".to_owned(),
            0o644,
            index(vec![top]).to_string().into_bytes(),
        ),
    ];
    let blobs = blobs.0.into_iter();
    files.extend(blobs.map(|(hash, bytes)| (format!("blobs/sha256/{hash}"), 0o644, bytes)));
    let borrowed: Vec<_> = files
        .iter()
        .map(|(path, mode, bytes)| (path.as_str(), *mode, bytes.as_slice()))
        .collect();
    tar(&borrowed)
}

fn index(manifests: Vec<Value>) -> Value {
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests})
}

fn manifest(blobs: &mut Blobs, image: &Image, version: &str) -> Result<Value> {
    let files = image.files.iter();
    let files: Vec<_> = files
        .map(|(path, mode, bytes)| (*path, *mode, bytes.as_slice()))
        .collect();
    let layer = blobs.add(LAYER, tar(&files)?);
    let config = json!({
        "architecture": image.architecture,
        "os": "linux",
        "config": {
            "Entrypoint": ["/headcount"],
            "ExposedPorts": {"9256/tcp": {}},
            "Labels": {
                "org.opencontainers.image.title": "headcount",
                "org.opencontainers.image.licenses": "MIT OR Apache-2.0",
                "org.opencontainers.image.version": version,
            },
        },
        // The layer is not compressed, so its digest is also its `diff_id`.
        "rootfs": {"type": "layers", "diff_ids": [&layer["digest"]]},
    });
    let config = blobs.add_json(CONFIG, &config);
    let manifest =
        json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
    Ok(blobs.add_json(MANIFEST, &manifest))
}

/// Contents by their hash.
#[derive(Default)]
struct Blobs(BTreeMap<String, Vec<u8>>);

impl Blobs {
    /// Adds a blob and returns its descriptor.
    fn add(&mut self, media_type: &str, bytes: Vec<u8>) -> Value {
        let mut hash = String::new();
        for byte in Sha256::digest(&bytes) {
            // Writing to a String cannot fail.
            let _ = write!(hash, "{byte:02x}");
        }
        let descriptor = json!({
            "mediaType": media_type,
            "digest": format!("sha256:{hash}"),
            "size": bytes.len(),
        });
        self.0.insert(hash, bytes);
        descriptor
    }

    fn add_json(&mut self, media_type: &str, value: &Value) -> Value {
        self.add(media_type, value.to_string().into_bytes())
    }
}

/// A tar of the files; each folder comes before the first file in it.
fn tar(files: &[(&str, u32, &[u8])]) -> Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut folders: Vec<&Path> = Vec::new();
    for (path, mode, bytes) in files {
        let above = Path::new(path).ancestors().skip(1);
        let mut above: Vec<&Path> = above.filter(|path| *path != Path::new("")).collect();
        above.reverse();
        for folder in above {
            if !folders.contains(&folder) {
                folders.push(folder);
                append(&mut builder, tar::EntryType::Directory, folder, 0o755, &[])?;
            }
        }
        append(
            &mut builder,
            tar::EntryType::Regular,
            Path::new(path),
            *mode,
            bytes,
        )?;
    }
    builder.into_inner().context("end the archive")
}

fn append(
    builder: &mut tar::Builder<Vec<u8>>,
    kind: tar::EntryType,
    path: &Path,
    mode: u32,
    bytes: &[u8],
) -> Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(bytes.len() as u64);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    builder
        .append_data(&mut header, path, bytes)
        .with_context(|| format!("put {} into the archive", path.display()))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn image(architecture: &'static str, binary: &[u8]) -> Image {
        let licence = ("licenses/MIT", 0o644, b"free".to_vec());
        Image {
            architecture,
            files: vec![("headcount", 0o755, binary.to_vec()), licence],
        }
    }

    /// Paths and contents; folders have none.
    fn unpacked(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut archive = tar::Archive::new(archive);
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let header = entry.header();
            assert_eq!((header.uid().unwrap(), header.mtime().unwrap()), (0, 0));
            let path = entry.path().unwrap().to_str().unwrap().to_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            (path, bytes)
        });
        entries.collect()
    }

    fn blob(files: &BTreeMap<String, Vec<u8>>, descriptor: &Value) -> Vec<u8> {
        let hash = descriptor["digest"].as_str().unwrap();
        let bytes = &files[&format!("blobs/{}", hash.replace(':', "/"))];
        assert_eq!(descriptor["size"], bytes.len());
        bytes.clone()
    }

    fn json_blob(files: &BTreeMap<String, Vec<u8>>, descriptor: &Value) -> Value {
        serde_json::from_slice(&blob(files, descriptor)).unwrap()
    }

    #[test]
    fn the_index_leads_to_the_binary() {
        let files = unpacked(&archive(&[image("amd64", b"elf")], "1.2.3").unwrap());
        let index: Value = serde_json::from_slice(&files["index.json"]).unwrap();
        let descriptor = &index["manifests"][0];
        assert_eq!(descriptor["platform"]["architecture"], "amd64");
        let tag = &descriptor["annotations"]["org.opencontainers.image.ref.name"];
        assert_eq!(tag, "1.2.3");
        let manifest = json_blob(&files, descriptor);
        let config = json_blob(&files, &manifest["config"]);
        assert_eq!(config["config"]["Entrypoint"], json!(["/headcount"]));
        let layer = &manifest["layers"][0];
        assert_eq!(config["rootfs"]["diff_ids"][0], layer["digest"]);
        let inside = unpacked(&blob(&files, layer));
        assert_eq!(inside["headcount"], b"elf");
        assert_eq!(inside["licenses/MIT"], b"free");
        assert!(inside.contains_key("licenses"), "{:?}", inside.keys());
    }

    #[test]
    fn several_machines_share_an_index_and_the_same_in_is_the_same_out() {
        let images = [image("amd64", b"x"), image("arm64", b"y")];
        let written = archive(&images, "1").unwrap();
        assert_eq!(written, archive(&images, "1").unwrap());
        let files = unpacked(&written);
        let top: Value = serde_json::from_slice(&files["index.json"]).unwrap();
        let index = json_blob(&files, &top["manifests"][0]);
        for (number, (machine, binary)) in
            [("amd64", b"x"), ("arm64", b"y")].into_iter().enumerate()
        {
            let descriptor = &index["manifests"][number];
            assert_eq!(descriptor["platform"]["architecture"], machine);
            let manifest = json_blob(&files, descriptor);
            assert_eq!(
                json_blob(&files, &manifest["config"])["architecture"],
                machine
            );
            let inside = unpacked(&blob(&files, &manifest["layers"][0]));
            assert_eq!(inside["headcount"], binary);
        }
    }
}
