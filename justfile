# Each recipe is one command that also works without just.

# list the recipes
default:
    @just --list

# type-check everything
check:
    cargo check --workspace --all-targets --locked

# format the code
fmt:
    cargo fmt --all

# clippy, warnings refused
lint:
    ./scripts/test lint

# licences, banned crates, sources, advisories
deny:
    ./scripts/test deny

# API documentation, warnings refused
docs:
    ./scripts/test docs

# unit, integration and end-to-end tests
suite:
    ./scripts/test suite

# rounds of chaos until the time is over: --minutes N --seed S
chaos *ARGS:
    cargo build -p worker --locked && cargo run -p worker-tests --example chaos --locked -- {{ARGS}}

# figures beside Prefect's worker: --quick, or names of scenarios
bench *ARGS:
    ./scripts/bench {{ARGS}}

# every check: what the gate runs
test:
    ./scripts/test

# the gate itself, as CI calls it
ci:
    ./.ci/run

# the locked Python environment, in .tools/python
python:
    python3 scripts/python-env

# a Prefect server, the worker and three flows on this machine
quickstart *ARGS:
    ./quickstart {{ARGS}}
