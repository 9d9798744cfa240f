//! `cargo xtask manifests`: checks the manifests that `deploy/kubernetes` renders to against the schemas of Kubernetes.
//!
//! It takes no arguments. It renders every base, overlay and component below `target/manifests`, and fails if kustomize or a
//! schema refuses one. Kustomize comes from Debian, the schemas from the Python package `kubernetes-validate`; neither is
//! installed. There is no published schema of the Prometheus Operator's kinds in that form, so only the references of these
//! objects are checked.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use fs_err as fs;
use serde_json::Value;

use crate::{command, debian, python, setup, workspace};

/// The validator, with schemas up to that version of Kubernetes.
const VALIDATOR: &str = "kubernetes-validate==1.37.0";
/// The oldest version that knows all fields (the first with `appArmorProfile`), and the newest.
const VERSIONS: &[&str] = &["1.30", "1.37"];
/// Group of the kinds without a schema.
const FOREIGN: &str = "monitoring.coreos.com/";

pub(crate) fn main() -> Result<()> {
    setup::ensure(setup::MANIFESTS)?;
    let folder = workspace::target_dir().join("manifests");
    let (kustomize, validator) = (kustomize()?, validator(&folder)?);
    let mut files = Vec::new();
    for source in sources(&folder)? {
        let rendered = render(&kustomize, &source)?;
        let documents = parse(&rendered).with_context(|| source.display().to_string())?;
        references(&documents).with_context(|| source.display().to_string())?;
        let name = source.file_name().unwrap_or_default();
        let file = folder.join(name).with_extension("yaml");
        fs::write(&file, known(&documents))?;
        let count = documents.len();
        println!("manifests: {}: {count} objects", source.display());
        files.push(file);
    }
    for version in VERSIONS {
        let mut validate = Command::new(&validator);
        validate.args(["--strict", "--quiet", "-k", version]);
        command::run(validate.args(&files))?;
    }
    println!("manifests: nothing found");
    Ok(())
}

/// The DaemonSet of the base, rendered.
pub(crate) fn daemon_set() -> Result<Value> {
    let rendered = render(&kustomize()?, &deploy().join("base"))?;
    let documents = parse(&rendered)?;
    let found = documents.into_iter().find(|one| one["kind"] == "DaemonSet");
    found.context("the base has no DaemonSet")
}

pub(crate) fn deploy() -> PathBuf {
    workspace::root().join("deploy/kubernetes")
}

fn kustomize() -> Result<PathBuf> {
    let folder = workspace::target_dir().join("kustomize");
    debian::fetch(&folder, "sid", &["kustomize"], 5, "usr/bin/kustomize")
}

fn validator(folder: &Path) -> Result<PathBuf> {
    let announcement = format!("manifests: fetch {VALIDATOR}, about 25 MB");
    let environment = python::environment(folder, &[VALIDATOR], &announcement)?;
    Ok(environment.join("bin/kubernetes-validate"))
}

/// The base, the overlays, and for each component a folder that applies it to the base. All are in a copy of the manifests,
/// because kustomize accepts relative paths only.
fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let copy = folder.join("kubernetes");
    workspace::remove(&copy)?;
    command::read(Command::new("cp").arg("-r").arg(deploy()).arg(&copy))?;
    let mut sources = vec![copy.join("base")];
    sources.extend(workspace::entries(&copy.join("overlays"))?);
    for component in workspace::entries(&copy.join("components"))? {
        let name = component.file_name().unwrap_or_default().display();
        let own = copy.join(format!("with-{name}"));
        let text = format!(
            "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [../base]\n\
             components: [../components/{name}]\n"
        );
        fs::create_dir(&own)?;
        fs::write(own.join("kustomization.yaml"), text)?;
        sources.push(own);
    }
    Ok(sources)
}

fn render(kustomize: &Path, source: &Path) -> Result<String> {
    command::read(Command::new(kustomize).arg("build").arg(source))
}

fn parse(rendered: &str) -> Result<Vec<Value>> {
    let documents = serde_saphyr::from_multiple(rendered);
    documents.context("the output of kustomize is not YAML")
}

/// The documents that have a schema, as YAML, of which JSON is a subset.
fn known(documents: &[Value]) -> String {
    let version = |one: &Value| one["apiVersion"].as_str().unwrap_or_default().to_owned();
    let known = documents
        .iter()
        .filter(|one| !version(one).starts_with(FOREIGN));
    known.map(|one| format!("---\n{one}\n")).collect()
}

/// Checks the references between objects, which no schema covers.
fn references(documents: &[Value]) -> Result<()> {
    let of_kind = |kind: &'static str| documents.iter().filter(move |one| one["kind"] == kind);
    let daemon_set = of_kind("DaemonSet").next();
    let spec = &daemon_set.context("there is no DaemonSet")?["spec"];
    let pod = &spec["template"]["spec"];
    let labels = &spec["template"]["metadata"]["labels"];
    let container = &pod["containers"][0];
    ensure!(
        *labels == spec["selector"]["matchLabels"],
        "the DaemonSet selects other pods than its own"
    );
    for monitor in of_kind("PodMonitor") {
        let monitor = &monitor["spec"];
        ensure!(
            monitor["selector"]["matchLabels"] == *labels,
            "the PodMonitor selects other pods than the DaemonSet's"
        );
        let ports: Vec<&Value> = values(&container["ports"], "name").collect();
        for port in values(&monitor["podMetricsEndpoints"], "port") {
            ensure!(ports.contains(&port), "the container has no port {port}");
        }
    }
    let volumes: Vec<&Value> = values(&pod["volumes"], "name").collect();
    for mounted in values(&container["volumeMounts"], "name") {
        ensure!(volumes.contains(&mounted), "there is no volume {mounted}");
    }
    let maps = of_kind("ConfigMap").map(|map| &map["metadata"]["name"]);
    let maps: Vec<&Value> = maps.collect();
    let named = values(&pod["volumes"], "configMap").map(|map| &map["name"]);
    for map in named.filter(|map| !map.is_null()) {
        ensure!(maps.contains(&map), "there is no ConfigMap {map}");
    }
    Ok(())
}

/// The member `key` of each element.
fn values<'a>(list: &'a Value, key: &'a str) -> impl Iterator<Item = &'a Value> {
    let list = list.as_array().into_iter().flatten();
    list.map(move |one| &one[key])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dangling_references_are_errors() {
        let daemon_set = |port: &str, volume: &str, map: &str| {
            format!(
                "kind: DaemonSet\nspec:\n  selector: {{matchLabels: {{a: b}}}}\n  template:\n    metadata: {{labels: {{a: b}}}}\n    \
                 spec:\n      containers: [{{ports: [{{name: {port}}}], volumeMounts: [{{name: {volume}}}]}}]\n      \
                 volumes: [{{name: v, configMap: {{name: {map}}}}}, {{name: p}}]\n---\nkind: ConfigMap\nmetadata: {{name: m}}\n---\n\
                 kind: PodMonitor\nspec: {{selector: {{matchLabels: {{a: b}}}}, podMetricsEndpoints: [{{port: metrics}}]}}\n"
            )
        };
        let check = |port, volume, map| references(&parse(&daemon_set(port, volume, map)).unwrap());
        check("metrics", "v", "m").unwrap();
        for (port, volume, map) in [
            ("http", "v", "m"),
            ("metrics", "w", "m"),
            ("metrics", "v", "n"),
        ] {
            check(port, volume, map).unwrap_err();
        }
        references(&parse("kind: ConfigMap\n").unwrap()).unwrap_err();
    }
}
