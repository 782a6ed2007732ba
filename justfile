# Every command of daily work. `just` without a name lists them.
_default:
    @just --list

# Everything in one process on an embedded Postgres, ready for the README's curl lines.
up *args:
    cargo run -- {{args}}

# What CI checks beside the tests: format, lints, the core's purity, the documentation's links.
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --features posthaste-tests/browser,posthaste-tests/manifests,posthaste-tests/pgbouncer,posthaste-tests/skew -- -D warnings
    deploy/check-purity
    # Read in the source as well, where private items are there to be linked to.
    RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" cargo doc --workspace --no-deps --document-private-items --quiet

# All tests. They find or start their own Postgres.
test *args:
    cargo test --workspace {{args}}

# The pages in a real browser; needs the Debian packages chromium and chromium-driver.
test-pages:
    cargo test -p posthaste-tests --features browser --test pages

# Ten thousand deliveries to receivers with large answers, and what they leave behind. CI takes a few hundred.
test-large-answers:
    POSTHASTE_LARGE_ANSWERS=10000 cargo test -p posthaste-tests --test receivers -- --nocapture thousands_of_large

# The Standard Webhooks libraries of PyPI and npm verify what a real deliverer signed; needs python3 and node.
verify-signatures:
    deploy/verify-signatures

# A trace from the caller to the receiver, read by OpenTelemetry's own protocol; needs python3.
verify-traces:
    cargo build --bins
    deploy/verify-traces

# When 10,000 random cron expressions fire, compared with croniter of PyPI; needs python3. CI takes 2,000.
compare-crons expressions="10000" seed="1":
    deploy/compare-crons {{expressions}} {{seed}}

# The property tests of the window and of the rules, with many more cases than `just test` runs.
simulate cases="50000":
    PROPTEST_CASES={{cases}} SIMULATIONS=5000 cargo test --release -p posthaste-core

# The services through PgBouncer in transaction mode; CI does the same.
verify-pgbouncer:
    deploy/verify-pgbouncer

# Pods whose clocks are hours apart; needs the Debian package libfaketime.
test-skew:
    cargo test -p posthaste-tests --features skew --test skew

# The images, built and run without a container engine or a registry; needs root, and the Debian packages buildah and debootstrap.
images:
    deploy/docker/build-daemonless

# The manifests, the chart, compose, and the alerts, without a cluster; CI does the same.
check-manifests:
    deploy/check-manifests

# Benchmarks; see BENCHMARKS.md. `just bench drain`, `just bench all`, …
bench *args="all":
    cargo build --release --workspace --bins
    target/release/posthaste-bench {{args}}

# Every process replaced one by one, and deliverers scaled, while messages flow; needs the Debian package haproxy. CI does the same.
rolling:
    cargo build --workspace --bins
    target/debug/posthaste-bench rolling

# Calls every operation of the OpenAPI document with all kinds of input. CI takes the default.
fuzz examples="20" seed="1":
    cargo build --bins
    deploy/fuzz-api {{examples}} {{seed}}

fmt:
    cargo fmt --all

# Exactly what decides whether a change lands.
ci:
    .ci/run
