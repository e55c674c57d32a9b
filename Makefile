# The front door: `make help` lists what there is.
#
# CARGO_FLAGS adds flags to every cargo command, such as --offline. ARGS are handed on to what a target runs.

CARGO ?= cargo
CARGO_FLAGS ?= --locked
ARGS ?=
BINARY := target/release/corelog

.DEFAULT_GOAL := help
.PHONY: help run test verify bench bench-compare peers differential build profile needs fmt clippy tidy unit integration clients deny

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

run: build ## Build and run a broker on 127.0.0.1:9092, data under ./data (ARGS="--shards 2 ...")
	$(BINARY) serve $(ARGS)

test: build unit integration clients ## What CI runs: every test, and real clients at a small size

verify: fmt clippy tidy unit integration ## Formatting, lints, house rules, unit and integration tests

bench: needs ## Benchmarks of the pure parts (ARGS="record" for one)
	$(CARGO) bench $(CARGO_FLAGS) $(if $(ARGS),--bench $(ARGS),--benches)

bench-compare: build ## One workload against Apache Kafka and against Corelog, side by side (needs a JDK and Maven)
	benches/peers/bench-compare.sh $(ARGS)

peers: build ## All scenarios against Apache Kafka and against Corelog in turn, one table; hours (ARGS="--only 'bulk|single' --rounds 1"; ARGS=--list)
	benches/peers/run.sh $(ARGS)

differential: build ## The same requests to Apache Kafka and to Corelog, answers compared (needs a JDK and Maven)
	tests/differential/run.sh $(ARGS)

build: needs ## Build the broker and the load generator with optimisation
	CORELOG_GIT_REVISION="$$(git rev-parse --short=12 HEAD 2>/dev/null)" pgo/with-profile.sh $(CARGO) build --release --workspace $(CARGO_FLAGS)

profile: needs ## Record the profile that release builds are guided by, after another compiler or dependencies; a quarter of an hour
	pgo/record.sh

fmt: needs ## Check formatting
	$(CARGO) fmt --check

clippy: needs ## Lints, warnings denied
	$(CARGO) clippy --workspace --all-targets --features corelog/foreign-allocator $(CARGO_FLAGS) -- -D warnings

tidy: needs ## The house rules: sizes, room order, pure rooms, names
	$(CARGO) test $(CARGO_FLAGS) --test tidy

unit: needs ## Unit tests and the examples in the documentation
	$(CARGO) test --workspace $(CARGO_FLAGS) --lib --bins
	$(CARGO) test --workspace $(CARGO_FLAGS) --doc

integration: needs ## Tests that start the real binary, and the house rules
	$(CARGO) test --workspace $(CARGO_FLAGS) --test '*'

clients: build ## Real clients in five languages against a broker (installed under target/clients; ARGS="--size large")
	tests/clients/run.sh --broker-binary $(BINARY) $(if $(ARGS),$(ARGS),--size small)

deny: ## Licences and advisories of dependencies, if cargo-deny is installed
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(CARGO) deny check; \
	  else echo "SKIPPED  deny: cargo-deny is not installed (cargo install cargo-deny)"; fi

needs:
	@missing=""; \
	  command -v $(CARGO) >/dev/null 2>&1 || missing="$$missing\n  cargo: install Rust with rustup, the toolchain in rust-toolchain.toml then comes by itself"; \
	  command -v cc >/dev/null 2>&1 || missing="$$missing\n  cc: a C compiler, such as the package build-essential or gcc"; \
	  if [ -n "$$missing" ]; then printf "Needed first:$$missing\n" >&2; exit 1; fi
