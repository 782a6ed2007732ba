//! What is deployed keeps our rules. Run by `deploy/check-manifests`, which renders the manifests and says where they are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use posthaste_service::Variables;
use posthaste_service::environment::{ConfigError, names};
use posthaste_service::telemetry::LogVariables;
use posthaste_service::traces::TraceVariables;
use serde_json::Value;

/// The renderings that are deployed as they are.
const RENDERED: [&str; 5] = ["base", "dev", "production", "helm", "helm-everything"];
const SERVICES: [&str; 3] = ["api", "scheduler", "deliverer"];

/// The longest that the API takes to end once it is told: a second until clients have noticed, and 30 s for what is under way.
const API_ENDS_WITHIN: i64 = 31;
/// What is left to write and to close after the deliveries.
const MARGIN: i64 = 10;

fn file(rendering: &str) -> PathBuf {
    let folder = PathBuf::from(std::env::var_os("MANIFESTS").expect("MANIFESTS: run deploy/check-manifests"));
    folder.join(format!("{rendering}.json"))
}

fn objects(rendering: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(file(rendering)).unwrap_or_else(|error| panic!("{rendering}: {error}"));
    serde_json::from_str(&text).expect("JSON")
}

fn all() -> impl Iterator<Item = (&'static str, Vec<Value>)> {
    RENDERED.into_iter().map(|rendering| (rendering, objects(rendering)))
}

fn of_kind<'o>(objects: &'o [Value], kind: &str) -> Vec<&'o Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

fn named<'o>(objects: &'o [Value], kind: &str, name: &str) -> &'o Value {
    let found = of_kind(objects, kind).into_iter().find(|object| object["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("no {kind} {name}"))
}

/// The pods that an object makes, if it does.
fn pod(object: &Value) -> Option<&Value> {
    let template = &object["spec"]["template"];
    template.is_object().then_some(template)
}

fn containers(pod: &Value) -> Vec<&Value> {
    ["initContainers", "containers"]
        .iter()
        .flat_map(|kind| pod["spec"][kind].as_array().into_iter().flatten())
        .collect()
}

fn deployment<'o>(objects: &'o [Value], service: &str) -> &'o Value {
    named(objects, "Deployment", &format!("posthaste-{service}"))
}

/// Every label that is asked for is there.
fn selects(selector: &Value, labels: &Value) -> bool {
    selector.as_object().expect("a selector").iter().all(|(label, value)| labels[label] == *value)
}

/// `250m` and `2` in thousandths of a core.
fn millicores(quantity: &str) -> u64 {
    match quantity.strip_suffix('m') {
        Some(thousandths) => thousandths.parse().expect("a quantity"),
        None => quantity.parse::<u64>().expect("a quantity") * 1000,
    }
}

fn mebibytes(quantity: &str) -> u64 {
    match (quantity.strip_suffix("Mi"), quantity.strip_suffix("Gi")) {
        (Some(number), _) => number.parse().expect("a quantity"),
        (_, Some(number)) => number.parse::<u64>().expect("a quantity") * 1024,
        _ => panic!("{quantity}"),
    }
}

#[test]
fn nothing_runs_as_root_or_may_become_more() {
    for (rendering, objects) in all() {
        for object in &objects {
            let Some(pod) = pod(object) else { continue };
            let name = format!("{rendering}: {}", object["metadata"]["name"]);
            let context = &pod["spec"]["securityContext"];
            assert_eq!(context["runAsNonRoot"], true, "{name}");
            assert!(context["runAsUser"].as_u64().is_some_and(|user| user > 0), "{name}");
            assert_eq!(context["seccompProfile"]["type"], "RuntimeDefault", "{name}");
            assert_eq!(pod["spec"]["automountServiceAccountToken"], false, "{name}");
            for kind in ["hostNetwork", "hostPID", "hostIPC"] {
                assert!(pod["spec"][kind].is_null(), "{name}");
            }
            for container in containers(pod) {
                let context = &container["securityContext"];
                assert_eq!(context["allowPrivilegeEscalation"], false, "{name}");
                assert_eq!(context["readOnlyRootFilesystem"], true, "{name}");
                assert_eq!(context["capabilities"]["drop"], serde_json::json!(["ALL"]), "{name}");
                assert!(context["privileged"].is_null(), "{name}");
            }
        }
        for namespace in of_kind(&objects, "Namespace") {
            let labels = &namespace["metadata"]["labels"];
            assert_eq!(labels["pod-security.kubernetes.io/enforce"], "restricted", "{rendering}");
        }
    }
}

#[test]
fn every_container_has_bounds_and_an_image_of_one_version() {
    for (rendering, objects) in all() {
        for pod in objects.iter().filter_map(pod) {
            for container in containers(pod) {
                let name = format!("{rendering}: {}", container["name"]);
                let bound = |kind: &str, of: &str| {
                    container["resources"][kind][of].as_str().unwrap_or_else(|| panic!("{name}: no {kind} of {of}"))
                };
                assert!(millicores(bound("requests", "cpu")) <= millicores(bound("limits", "cpu")), "{name}");
                assert!(mebibytes(bound("requests", "memory")) <= mebibytes(bound("limits", "memory")), "{name}");
                let (_, tag) =
                    container["image"].as_str().unwrap().rsplit_once(':').unwrap_or_else(|| panic!("{name}"));
                assert_ne!(tag, "latest", "{name}");
            }
        }
    }
}

#[test]
fn probes_ask_for_what_they_are_for() {
    for (rendering, objects) in all() {
        for service in SERVICES {
            let container = &deployment(&objects, service)["spec"]["template"]["spec"]["containers"][0];
            let ports: Vec<_> = container["ports"].as_array().unwrap().iter().map(|port| &port["name"]).collect();
            // Liveness says nothing about Postgres, readiness does.
            for (probe, path) in
                [("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")]
            {
                let get = &container[probe]["httpGet"];
                assert_eq!(get["path"], path, "{rendering}: {service}");
                assert!(ports.contains(&&get["port"]), "{rendering}: {service}: {}", get["port"]);
            }
        }
    }
}

#[test]
fn nobody_is_killed_before_it_could_end() {
    for (rendering, objects) in all() {
        for service in SERVICES {
            let pod = &deployment(&objects, service)["spec"]["template"]["spec"];
            let container = &pod["containers"][0];
            let before = container["lifecycle"]["preStop"]["sleep"]["seconds"].as_i64().unwrap_or(0);
            let set = variables(&objects, container);
            let ends = match service {
                "api" => {
                    assert!(before > 0, "{rendering}: requests come until the last load balancer knows");
                    API_ENDS_WITHIN
                }
                "deliverer" => set.get("DRAIN_SECONDS").expect("it is set here").parse().unwrap(),
                _ => 0,
            };
            let grace = pod["terminationGracePeriodSeconds"].as_i64().unwrap();
            let least = before + ends + if service == "api" { 0 } else { MARGIN };
            assert!(grace >= least, "{rendering}: {service}: {grace} s, at least {least}");
            let strategy = &deployment(&objects, service)["spec"]["strategy"]["rollingUpdate"];
            assert_eq!(strategy["maxUnavailable"], 0, "{rendering}: {service}");
        }
    }
}

#[test]
fn what_belongs_together_finds_each_other() {
    for (rendering, objects) in all() {
        for service in SERVICES {
            let deployment = deployment(&objects, service);
            let labels = &deployment["spec"]["template"]["metadata"]["labels"];
            let name = format!("{rendering}: {service}");
            assert!(selects(&deployment["spec"]["selector"]["matchLabels"], labels), "{name}");
            for constraint in deployment["spec"]["template"]["spec"]["topologySpreadConstraints"].as_array().unwrap() {
                assert!(selects(&constraint["labelSelector"]["matchLabels"], labels), "{name}");
            }
            let budget = named(&objects, "PodDisruptionBudget", &format!("posthaste-{service}"));
            assert!(selects(&budget["spec"]["selector"]["matchLabels"], labels), "{name}");
            // A budget that lets no pod go blocks the drain of a node.
            assert_eq!(budget["spec"]["maxUnavailable"], 1, "{name}");
            let policies = of_kind(&objects, "NetworkPolicy");
            let of_it = policies.iter().filter(|policy| selects(&policy["spec"]["podSelector"]["matchLabels"], labels));
            let ports: BTreeSet<i64> = of_it
                .flat_map(|policy| policy["spec"]["ingress"].as_array().into_iter().flatten())
                .flat_map(|rule| rule["ports"].as_array().into_iter().flatten())
                .filter_map(|port| port["port"].as_i64())
                .collect();
            for port in deployment["spec"]["template"]["spec"]["containers"][0]["ports"].as_array().unwrap() {
                assert!(ports.contains(&port["containerPort"].as_i64().unwrap()), "{name}: {port}");
            }
        }
        for autoscaler in of_kind(&objects, "HorizontalPodAutoscaler") {
            let target = autoscaler["spec"]["scaleTargetRef"]["name"].as_str().unwrap();
            let scaled = named(&objects, "Deployment", target);
            assert!(scaled["spec"]["replicas"].is_null(), "{rendering}: each apply would undo what the autoscaler did");
        }
        let service = named(&objects, "Service", "posthaste-api");
        let api = &deployment(&objects, "api")["spec"]["template"];
        assert!(selects(&service["spec"]["selector"], &api["metadata"]["labels"]), "{rendering}");
    }
}

#[test]
fn a_new_version_waits_for_its_migration() {
    for (rendering, objects) in all() {
        let job = of_kind(&objects, "Job").remove(0);
        // The chart's name holds the revision of the release.
        let version =
            if rendering.starts_with("helm") { "1".to_owned() } else { env!("CARGO_PKG_VERSION").replace('.', "-") };
        assert_eq!(
            job["metadata"]["name"],
            format!("posthaste-migrate-{version}"),
            "{rendering}: a job cannot be changed"
        );
        let image = |container: &Value| container["image"].as_str().unwrap().to_owned();
        let migrating = &job["spec"]["template"]["spec"]["containers"][0];
        for service in SERVICES {
            let waiting = &deployment(&objects, service)["spec"]["template"]["spec"]["initContainers"][0];
            assert_eq!(waiting["args"], serde_json::json!(["migrate", "--wait"]), "{rendering}: {service}");
            assert_eq!(image(waiting), image(migrating), "{rendering}: {service}");
        }
    }
}

/// What a container's environment is; secrets are what would do.
fn variables(objects: &[Value], container: &Value) -> BTreeMap<String, String> {
    let mut set = BTreeMap::new();
    for source in container["envFrom"].as_array().into_iter().flatten() {
        let map = named(objects, "ConfigMap", source["configMapRef"]["name"].as_str().unwrap());
        set.extend(strings(&map["data"]));
    }
    for variable in container["env"].as_array().into_iter().flatten() {
        let name = variable["name"].as_str().unwrap();
        let value = match (variable["value"].as_str(), &variable["valueFrom"]) {
            (Some(value), _) => value.to_owned(),
            (None, from) if from["secretKeyRef"].is_object() => of_secret(name).to_owned(),
            (None, from) => {
                let key = from["configMapKeyRef"]["key"].as_str().unwrap();
                let map = named(objects, "ConfigMap", from["configMapKeyRef"]["name"].as_str().unwrap());
                map["data"][key].as_str().unwrap_or_default().to_owned()
            }
        };
        set.insert(name.to_owned(), value);
    }
    set
}

fn strings(map: &Value) -> BTreeMap<String, String> {
    let entries = map.as_object().into_iter().flatten();
    entries.map(|(name, value)| (name.clone(), value.as_str().expect("a string").to_owned())).collect()
}

fn of_secret(name: &str) -> &'static str {
    match name {
        "DATABASE_URL" | "LOCK_DATABASE_URL" => "postgres://me:secret@db/app",
        "ADMIN_SECRET" => "secret",
        "SECRETS_KEY" => "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
        _ => panic!("{name}"),
    }
}

/// Whether a service reads a variable.
fn is_read(service: &str, name: &str) -> bool {
    let known = match service {
        "api" => {
            let mut known = names::<posthaste_api::config::ConfigVariables>();
            known.extend(names::<posthaste_api::config::AuthorizationVariables>());
            known
        }
        "scheduler" => names::<posthaste_scheduler::config::ConfigVariables>(),
        _ => names::<posthaste_deliverer::config::ConfigVariables>(),
    };
    known.iter().chain(&names::<LogVariables>()).chain(&names::<TraceVariables>()).any(|it| **it == *name)
}

fn faults(service: &str, set: &Variables) -> Option<ConfigError> {
    match service {
        "api" => posthaste_api::Config::read(set).err(),
        "scheduler" => posthaste_scheduler::Config::read(set).err(),
        _ => posthaste_deliverer::Config::read(set).err(),
    }
}

#[test]
fn every_variable_that_is_set_is_read_and_every_one_that_is_needed_is_set() {
    for (rendering, objects) in all() {
        for service in SERVICES {
            let container = &deployment(&objects, service)["spec"]["template"]["spec"]["containers"][0];
            for variable in container["env"].as_array().unwrap() {
                let name = variable["name"].as_str().unwrap();
                assert!(is_read(service, name), "{rendering}: nobody reads {name} of {service}");
            }
            let set: Variables = variables(&objects, container).into_iter().collect();
            assert_eq!(faults(service, &set), None, "{rendering}: {service}");
        }
        // What all share is read by one of them at least.
        for name in strings(&named(&objects, "ConfigMap", "posthaste")["data"]).into_keys() {
            assert!(SERVICES.iter().any(|service| is_read(service, &name)), "{rendering}: nobody reads {name}");
        }
        let migrating = &of_kind(&objects, "Job").remove(0)["spec"]["template"]["spec"]["containers"][0];
        let set: Variables = variables(&objects, migrating).into_iter().collect();
        assert_eq!(posthaste_standalone::migrate::Config::read(&set).err(), None, "{rendering}");
    }
}

#[test]
fn the_secret_has_what_is_taken_from_it() {
    let mut taken = BTreeSet::new();
    for (_, objects) in all().filter(|(rendering, _)| *rendering != "helm-everything") {
        for pod in objects
            .iter()
            .filter_map(pod)
            .filter(|pod| pod["metadata"]["labels"]["app.kubernetes.io/name"] == "posthaste")
        {
            for variable in
                containers(pod).into_iter().flat_map(|container| container["env"].as_array().into_iter().flatten())
            {
                let of = &variable["valueFrom"]["secretKeyRef"];
                if of.is_object() {
                    assert_eq!(of["name"], "posthaste");
                    taken.insert(of["key"].as_str().unwrap().to_owned());
                }
            }
        }
    }
    let examples = objects("examples");
    let example = strings(&named(&examples, "Secret", "posthaste")["stringData"]);
    assert_eq!(example.into_keys().collect::<BTreeSet<_>>(), taken);
}

#[test]
fn the_chart_and_the_kustomization_are_the_same() {
    /// What matters of an object, without what each writes in its own way.
    fn plain(value: &Value) -> Value {
        match value {
            Value::Object(fields) => {
                let kept = fields
                    .iter()
                    .filter(|(name, _)| !["labels", "annotations", "imagePullPolicy"].contains(&name.as_str()));
                let plain = |(name, value): (&String, &Value)| {
                    let sorted = name == "env";
                    let mut value = plain(value);
                    if sorted && let Value::Array(variables) = &mut value {
                        variables.sort_by_key(|variable| variable["name"].to_string());
                    }
                    (name.clone(), value)
                };
                Value::Object(kept.map(plain).collect())
            }
            Value::Array(values) => Value::Array(values.iter().map(plain).collect()),
            other => other.clone(),
        }
    }
    let [base, chart] = ["base", "helm"].map(|rendering| {
        let key = |object: &Value| format!("{} {}", object["kind"], object["metadata"]["name"]).replace('"', "");
        let objects = objects(rendering).into_iter().filter(|object| object["kind"] != "Job");
        objects.map(|object| (key(&object), plain(&object["spec"]))).collect::<BTreeMap<_, _>>()
    });
    assert_eq!(base.keys().collect::<Vec<_>>(), chart.keys().collect::<Vec<_>>());
    for (name, object) in &base {
        assert_eq!(object, &chart[name], "{name}");
    }
}

#[test]
fn compose_sets_what_is_read_and_all_that_is_needed() {
    let compose = objects("compose").remove(0);
    for service in SERVICES {
        let environment: BTreeMap<String, String> = compose["services"][service]["environment"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
            .collect();
        for name in environment.keys() {
            assert!(is_read(service, name), "nobody reads {name} of {service}");
        }
        let set: Variables = environment.into_iter().collect();
        assert_eq!(faults(service, &set), None, "{service}");
        assert_eq!(compose["services"][service]["deploy"]["replicas"], 2);
        assert_eq!(compose["services"][service]["read_only"], true);
    }
}

#[test]
fn the_examples_name_what_there_is() {
    let production = objects("helm");
    let examples = objects("examples");
    for kind in ["HorizontalPodAutoscaler", "ScaledObject"] {
        for scaler in of_kind(&examples, kind) {
            named(&production, "Deployment", scaler["spec"]["scaleTargetRef"]["name"].as_str().unwrap());
        }
    }
    let ingress = named(&examples, "Ingress", "posthaste");
    let backend = &ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"];
    let service = named(&production, "Service", backend["name"].as_str().unwrap());
    assert_eq!(service["spec"]["ports"][0]["name"], backend["port"]["name"]);
    for example in examples.iter().filter(|example| example["kind"] != "Namespace") {
        assert_eq!(example["metadata"]["namespace"], "posthaste", "{}", example["kind"]);
    }
}
