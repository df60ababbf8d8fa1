//! The examples for compose and Kubernetes: what refers to something refers to what is there, nothing runs as root or can
//! write, and moxi's command lines and health checks are run.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use crate::world::World;

/// The documents of an example. `None`: there is nothing here that reads YAML.
fn documents(name: &str) -> Option<Vec<Value>> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/t/yaml2json");
    let path = format!("{}/examples/{name}", env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(script).arg(path).output();
    let complaint = match output {
        Ok(output) if output.status.success() => return Some(serde_json::from_slice(&output.stdout).unwrap()),
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    assert!(complaint.contains("No module named 'yaml'") || complaint.contains("No such file"), "{name}: {complaint}");
    eprintln!("SKIPPED: no python3-yaml (t/need python3-yaml)");
    None
}

/// A list of texts.
fn words(value: &Value) -> Vec<String> {
    value.as_array().expect("a list").iter().map(|word| word.as_str().expect("a text").to_owned()).collect()
}

/// Seconds: `7s`, or 7.
fn seconds(value: &Value) -> u64 {
    value.as_u64().or_else(|| value.as_str()?.strip_suffix('s')?.parse().ok()).expect("seconds")
}

/// The longest that `--check-alive` takes.
const PATIENCE: u64 = 5;

#[test]
fn compose() {
    let Some(documents) = documents("compose.yaml") else { return };
    let [document] = &documents[..] else { panic!("one document") };
    let services = document["services"].as_object().unwrap();
    let (moxi, memcached) = (&services["moxi"], &services["memcached1"]);
    for (name, service) in services {
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(words(&service["cap_drop"]), ["ALL"], "{name}");
        assert!(service["mem_limit"].is_string(), "{name}");
    }
    assert_eq!(moxi["user"], "65532:65532");
    let health = &moxi["healthcheck"];
    assert!(seconds(&health["timeout"]) > PATIENCE);
    let check = words(&health["test"]);
    assert_eq!(check[0], "CMD");
    let mut world = World::new(BTreeMap::new(), &words(&memcached["command"]));
    world.try_out(&words(&moxi["command"]), &[check[1..].to_vec()]);
    let mut needed = words(&moxi["depends_on"]);
    needed.sort_unstable();
    assert_eq!(world.hosts(), needed);
    assert!(needed.iter().all(|name| services.contains_key(name)));
    assert_eq!(services.len(), needed.len() + 1);
    assert_eq!(words(&moxi["ports"]), ["127.0.0.1:11211:11211"]);
    // What -c asks for must fit.
    let command = words(&moxi["command"]);
    let clients = &command[command.iter().position(|word| word == "-c").unwrap() + 1];
    assert!(moxi["ulimits"]["nofile"].as_u64().unwrap() > clients.parse::<u64>().unwrap() + 64);
}

/// The one document of this kind and name.
fn find<'a>(documents: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let mut found = documents.iter().filter(|it| it["kind"] == kind && it["metadata"]["name"] == name);
    let document = found.next().unwrap_or_else(|| panic!("{kind} {name}"));
    assert!(found.next().is_none(), "{kind} {name} stands twice");
    document
}

fn unprivileged(pod: &Value, container: &Value) {
    let name = &container["name"];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false, "{name}");
    assert_eq!(words(&container["securityContext"]["capabilities"]["drop"]), ["ALL"], "{name}");
    assert!(container["resources"]["limits"]["memory"].is_string(), "{name}");
}

#[test]
fn kubernetes() {
    let Some(documents) = documents("kubernetes-sidecar.yaml") else { return };
    let deployment = &find(&documents, "Deployment", "application")["spec"];
    let servers = &find(&documents, "StatefulSet", "memcached")["spec"];
    let service = &find(&documents, "Service", "memcached")["spec"];
    assert_eq!(documents.len(), 4);
    for set in [deployment, servers] {
        assert_eq!(set["selector"]["matchLabels"], set["template"]["metadata"]["labels"]);
    }
    assert_eq!(service["selector"], servers["selector"]["matchLabels"]);
    assert_eq!((&servers["serviceName"], &service["clusterIP"]), (&Value::from("memcached"), &Value::from("None")));

    let pod = &deployment["template"]["spec"];
    let (moxi, memcached) = (&pod["initContainers"][0], &servers["template"]["spec"]["containers"][0]);
    for (pod, container) in [(pod, moxi), (pod, &pod["containers"][0]), (&servers["template"]["spec"], memcached)] {
        unprivileged(pod, container);
    }
    for container in [moxi, memcached] {
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
        assert!(container["securityContext"]["runAsUser"].as_u64().unwrap() > 0);
    }
    assert_eq!(moxi["image"], format!("moxi:{}", env!("CARGO_PKG_VERSION")));
    assert_eq!(moxi["restartPolicy"], "Always");

    // The files that it mounts.
    let mount = &moxi["volumeMounts"][0];
    let volume = pod["volumes"].as_array().unwrap().iter().find(|volume| volume["name"] == mount["name"]).unwrap();
    let map = find(&documents, "ConfigMap", volume["configMap"]["name"].as_str().unwrap());
    let place = mount["mountPath"].as_str().unwrap();
    let files = map["data"].as_object().unwrap().iter();
    let files = files.map(|(name, text)| (format!("{place}/{name}"), text.as_str().unwrap().to_owned())).collect();

    let probes = ["startupProbe", "livenessProbe"].map(|name| &moxi[name]);
    assert!(probes.iter().all(|probe| seconds(&probe["timeoutSeconds"]) > PATIENCE));
    let checks = probes.map(|probe| words(&probe["exec"]["command"]));
    let mut world = World::new(files, &words(&memcached["args"]));
    world.try_out(&words(&moxi["args"]), &checks);
    let count = servers["replicas"].as_u64().unwrap();
    let names: Vec<String> = (0..count).map(|number| format!("memcached-{number}.memcached")).collect();
    assert_eq!(world.hosts(), names);
}
