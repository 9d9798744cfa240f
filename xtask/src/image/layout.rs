//! Writes OCI's image layout as one archive.
//!
//! It does no IO. In come files; out comes a tar of blobs, each named by its hash, and an index that leads to them. The archive
//! contains no time, and root owns all files.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

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
    let mut layout = Layout(Builder::new(Vec::new()));
    for folder in ["blobs/", "blobs/sha256/"] {
        append(&mut layout.0, folder, 0o755, b"")?;
    }
    let of_layout = br#"{"imageLayoutVersion":"1.0.0"}"#;
    append(&mut layout.0, "oci-layout", 0o644, of_layout)?;
    let manifests = images.iter().map(|image| layout.manifest(image, version));
    let manifests: Vec<Value> = manifests.collect::<Result<_>>()?;
    let mut top = match manifests.as_slice() {
        [only] => only.clone(),
        several => layout.blob(INDEX, index(several).to_string().as_bytes())?,
    };
    top["annotations"] = json!({
        "org.opencontainers.image.ref.name": version,
        "io.containerd.image.name": format!("localhost/headcount:{version}"),
    });
    let top = index(&[top]).to_string();
    append(&mut layout.0, "index.json", 0o644, top.as_bytes())?;
    layout.0.into_inner().context("end the archive")
}

fn index(manifests: &[Value]) -> Value {
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests})
}

/// The archive, as far as it is written.
struct Layout(Builder<Vec<u8>>);

impl Layout {
    /// Writes an image and returns the descriptor of its manifest.
    fn manifest(&mut self, image: &Image, version: &str) -> Result<Value> {
        let mut files = Builder::new(Vec::new());
        for (path, mode, bytes) in &image.files {
            append(&mut files, path, *mode, bytes)?;
        }
        let layer = self.blob(LAYER, &files.into_inner().context("end the layer")?)?;
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
        let config = self.blob(CONFIG, config.to_string().as_bytes())?;
        let manifest =
            json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
        let mut descriptor = self.blob(MANIFEST, manifest.to_string().as_bytes())?;
        descriptor["platform"] = json!({"architecture": image.architecture, "os": "linux"});
        Ok(descriptor)
    }

    /// Writes a blob and returns its descriptor.
    fn blob(&mut self, media_type: &str, bytes: &[u8]) -> Result<Value> {
        let digest = Sha256::digest(bytes);
        let hash: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        append(&mut self.0, &format!("blobs/sha256/{hash}"), 0o644, bytes)?;
        Ok(
            json!({"mediaType": media_type, "digest": format!("sha256:{hash}"), "size": bytes.len()}),
        )
    }
}

/// Appends a file or, if the path ends with a slash, a folder.
fn append(archive: &mut Builder<Vec<u8>>, path: &str, mode: u32, bytes: &[u8]) -> Result<()> {
    let mut header = Header::new_gnu();
    if path.ends_with('/') {
        header.set_entry_type(EntryType::Directory);
    }
    header.set_mode(mode);
    header.set_size(bytes.len() as u64);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    archive
        .append_data(&mut header, path, bytes)
        .with_context(|| format!("put {path} into the archive"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read as _;

    use super::*;

    fn image(architecture: &'static str, binary: &[u8]) -> Image {
        let files = vec![
            ("headcount", 0o755, binary.to_vec()),
            ("licenses/", 0o755, Vec::new()),
            ("licenses/MIT", 0o644, b"free".to_vec()),
        ];
        Image {
            architecture,
            files,
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
    fn index_leads_to_the_binary() {
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
        assert!(inside.contains_key("licenses/"), "{:?}", inside.keys());
    }

    #[test]
    fn several_architectures_share_an_index_and_equal_input_gives_equal_bytes() {
        let images = [image("amd64", b"x"), image("arm64", b"y")];
        let written = archive(&images, "1").unwrap();
        assert_eq!(written, archive(&images, "1").unwrap());
        let files = unpacked(&written);
        let top: Value = serde_json::from_slice(&files["index.json"]).unwrap();
        let index = json_blob(&files, &top["manifests"][0]);
        for (number, machine, binary) in [(0, "amd64", b"x"), (1, "arm64", b"y")] {
            let descriptor = &index["manifests"][number];
            assert_eq!(descriptor["platform"]["architecture"], machine);
            let manifest = json_blob(&files, descriptor);
            let config = json_blob(&files, &manifest["config"]);
            assert_eq!(config["architecture"], machine);
            let inside = unpacked(&blob(&files, &manifest["layers"][0]));
            assert_eq!(inside["headcount"], binary);
        }
    }
}
