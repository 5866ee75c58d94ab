# Everything a checkout needs: Python >= 3.11 with venv and pip, and make. `make` alone prints the list.
#
# Theory of operation. The environment .venv has two levels, each with a stamp file that is newer than what it was
# made from: `run` holds quire and what it needs to serve, `dev` all of that and the tools of the tests. Versions and
# digests come from requirements/*.txt, so two machines get the same bytes; pip refuses anything else. Delete nothing
# by hand: when a lock or pyproject.toml changes, the next target installs what changed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(VENV)/.run
DEV := $(VENV)/.dev

# For `make serve`; e.g. make serve PORT=9000 PACKAGES=~/packages
HOST ?= 127.0.0.1
PORT ?= 8080
PACKAGES ?= packages

# For `make test` and `make test-fast`; e.g. make test PYTEST_ARGS="-k upload". With TESTS_MUST_COUNT=1 in the
# environment a machine where strace cannot count system calls fails the tests that do, instead of skipping them.
JOBS ?= 2
PYTEST_ARGS ?=

# For `make test-bucket`: the kinds of servers, by the schemes of their URLs; e.g. make test-bucket BUCKET_SERVERS=az
# BUCKET_SAMPLE=yes: on all but the S3 server a sample only (see tests/bucket/sample.py).
BUCKET_SERVERS ?= s3,az,gs
BUCKET_SAMPLE ?=
# For `make test-nfs` and `make test-browser`: the number of a day, for a sample that is another one each day (see
# tests/sample.py).
NFS_SAMPLE ?=
BROWSER_SAMPLE ?=
# For `make test-nfs`: the release of Debian whose kernel and NFS server run in the rig (without it this machine's);
# e.g. make test-nfs NFS_RELEASE=trixie for Linux 6.12
NFS_RELEASE ?=
export TESTS_NFS_RELEASE = $(NFS_RELEASE)
BUCKET_RIG = $(BIN)/python -m tests.bucket.rig --on $(BUCKET_SERVERS) $(if $(BUCKET_SAMPLE),--sample)

# For `make torture`; e.g. make torture SECONDS=60 SEED=7 TORTURE_ARGS="--workers 2"
SECONDS ?= 1800
SEED ?= 1
TORTURE_ARGS ?=
RIGHTS_ARGS = --rights-alone --seconds 600 --seed $(SEED) --workers 2 --askers 6 --pause 0.05 --kill-every 5 $(TORTURE_ARGS)

# For `make proofs`: one of the runs, or several; python -m tests.proof list prints their names
PROOFS ?=

# For `make fuzz`: seconds for each target; e.g. make fuzz FUZZ_SECONDS=20 PYTEST_ARGS="-k archives"
FUZZ_SECONDS ?= 120

# For `make bench`; e.g. make bench BENCH_ARGS="--only pages --corpora S,M --seconds 2"; see python -m benchmarks run --help
BENCH_ARGS ?=

# Where it is set, each process of the tests that imports quire compiles it again, and pytest compiles each test again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: dist style help serve test test-fast test-proofs test-faults test-nfs test-bucket test-browser test-names test-deploy test-pythons test-rehearsal torture torture-bucket torture-rights torture-mirror torture-promotions proofs fuzz bench bench-mirrors lint audit pin-images format lock upgrade dev site clean

help: ## print this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '{ printf "%-18s %s\n", $$1, $$2 }'

serve: $(RUN) ## serve ./packages on http://127.0.0.1:8080, uploads open to this machine (PORT=, PACKAGES=)
	@mkdir -p "$(PACKAGES)"
	@exec $(BIN)/quire serve --host "$(HOST)" --port "$(PORT)" -a . -P . "$(PACKAGES)"

# mypy takes one core for most of a minute, so it runs beside the tests; if it finds something, that is printed last.
test: style ## lint, types and all tests, with the real clients (a quarter of an hour on two cores)
	@found=$$(mktemp); $(BIN)/python -m mypy >$$found 2>&1 & types=$$!; \
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup $(PYTEST_ARGS); status=$$?; \
	wait $$types || { status=1; cat $$found; }; rm -f $$found; exit $$status

test-fast: $(DEV) ## the tests without the real clients
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup -m "not clients" $(PYTEST_ARGS)

test-proofs: $(DEV) ## real installers, judges and clients that must find a difference, at length (five minutes)
	$(BIN)/python -m pytest tests -m proofs -n $(JOBS) --dist loadgroup $(PYTEST_ARGS)

test-faults: $(DEV) ## kills and fails a change at every system call, cuts the power, kills servers (minutes; root for some)
	$(BIN)/python -m pytest tests/faults -m faults -n $(JOBS) $(PYTEST_ARGS)

test-nfs: $(DEV) ## the tests over real NFS, in a kernel booted for them (Debian, root; makes .cache/nfs once; NFS_SAMPLE=, NFS_RELEASE=)
	$(BIN)/python -m tests.nfs.rig
	$(BIN)/python -m pytest tests/nfs -n $(JOBS) --dist loadgroup $(if $(NFS_SAMPLE),--sample $(NFS_SAMPLE)) $(PYTEST_ARGS)

test-bucket: $(DEV) ## the store in a bucket beside real servers (Debian, root; makes .cache/bucket once, 2 GB; BUCKET_SERVERS=, BUCKET_SAMPLE=)
	$(BUCKET_RIG)
	$(BUCKET_RIG) $(BIN)/python -m pytest tests/bucket tests/http -m "bucket or not bucket" -k bucket -n $(JOBS) --dist loadgroup $(PYTEST_ARGS)

test-browser: $(DEV) ## the web interface in a real browser: look, policies, WCAG, keyboard (Debian, root; makes .cache/browser once; BROWSER_SAMPLE=)
	$(BIN)/python -m tests.browser.rig
	$(BIN)/python -m pytest tests/browser -m browser -n $(JOBS) $(if $(BROWSER_SAMPLE),--sample $(BROWSER_SAMPLE)) $(PYTEST_ARGS)

test-pythons: $(DEV) ## the wheel, the sdist and tests of the domain on newer Pythons (Debian, root; makes .cache/pythons once)
	$(BIN)/python -m tests.release.pythons
	$(BIN)/python -m pytest tests/release -m pythons -n $(JOBS) $(PYTEST_ARGS)

test-rehearsal: $(DEV) ## from a clean clone to an installed wheel and a running image, as the pages say (Debian, root; minutes)
	scripts/deploy-tools
	$(BIN)/python -m pytest tests/release -m rehearsal $(PYTEST_ARGS)

test-names: $(DEV) ## every order of the steps of writers to the list of names in a bucket, and of promotions (an hour, one core)
	$(BIN)/python -m tests.store.bucket.names_model
	$(BIN)/python -m tests.store.bucket.interleavings
	$(BIN)/python -m tests.index.promotion_model
	QUIRE_TEST_ORDERS=0 $(BIN)/python -m pytest tests/index/test_promotions.py -n $(JOBS)

test-deploy: $(DEV) ## what is in deploy/, started for real or checked against real schemas (Debian, root; minutes)
	scripts/deploy-tools
	$(BIN)/python -m pytest tests/deploy -m deploy -n $(JOBS) --dist loadfile $(PYTEST_ARGS)

torture: $(DEV) ## servers under load while their workers are killed; every answer is judged (SECONDS=, SEED=)
	$(BIN)/python -m tests.linearizability torture --seconds $(SECONDS) --seed $(SEED) $(TORTURE_ARGS)

torture-bucket: $(DEV) ## the same over a bucket whose network fails as well (Debian, root; SECONDS=, SEED=, TORTURE_ARGS="--without list")
	$(BIN)/python -m tests.bucket.rig sh -c '$(BIN)/python -m tests.linearizability torture --bucket $$TESTS_BUCKET/torture \
		--seconds $(SECONDS) --seed $(SEED) --workers 2 --readers 12 --kill-every 0.8 --faults 50 $(TORTURE_ARGS)'

torture-rights: $(DEV) ## nothing but rights change and are tried, on a directory, on real NFS and in a bucket (Debian, root; half an hour)
	$(BIN)/python -m tests.linearizability torture $(RIGHTS_ARGS) --decisions 100000
	$(BIN)/python -m tests.nfs.rights --seconds 900 --seed $(SEED) --decisions 50000 --file-system ext4
	$(BIN)/python -m tests.nfs.rights --seconds 900 --seed $(SEED) --decisions 50000 --file-system xfs
	$(BUCKET_RIG) sh -c '$(BIN)/python -m tests.linearizability torture --bucket $$TESTS_BUCKET/rights --faults 20 $(RIGHTS_ARGS) --decisions 100000'

torture-mirror: $(DEV) ## mirrored pages and files, of an upstream that changes, fails and lies (SECONDS=, SEED=, TORTURE_ARGS="--without swap")
	$(BIN)/python -m tests.linearizability.mirrors --seconds $(SECONDS) --seed $(SEED) $(TORTURE_ARGS)

torture-promotions: $(DEV) ## several projects promoted at once and read meanwhile, workers and promoters killed (SECONDS=, SEED=, TORTURE_ARGS="--without journal")
	$(BIN)/python -m tests.linearizability.promotions --seconds $(SECONDS) --seed $(SEED) $(TORTURE_ARGS)

proofs: $(DEV) ## every run of docs/consistency.md that this commit has not made, then its tables (four hours; Debian, root; PROOFS="--only mirror")
	$(BIN)/python -m tests.proof run $(PROOFS)
	$(BIN)/python -m tests.proof write

fuzz: $(DEV) ## hostile bytes at every reader and at a server, FUZZ_SECONDS= for each; finds go to .cache/fuzz
	FUZZ_SECONDS=$(FUZZ_SECONDS) $(BIN)/python -m pytest tests/fuzz -m "proofs or not proofs" -n $(JOBS) $(PYTEST_ARGS)

bench: $(DEV) ## quire beside other indexes, mirrors, nginx and over a bucket, into docs/benchmarks.md (75 minutes, 10 GB; Debian, root; BENCH_ARGS=)
	$(BIN)/python -m benchmarks run $(BENCH_ARGS)

bench-mirrors: $(DEV) ## what bench leaves out of mirrors: uv sync, 2 GB, 10,000 projects, printed as tables (half an hour, 2 GB; Debian, root; BENCH_ARGS=)
	$(BIN)/python -m benchmarks.mirrors $(BENCH_ARGS)

lint: style ## ruff, zizmor and mypy; changes nothing
	$(BIN)/python -m mypy

style: $(DEV)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/zizmor --offline --quiet .github

audit: $(DEV) ## known vulnerabilities in the locked dependencies; skipped, with a sentence, without a network
	$(BIN)/python scripts/audit

pin-images: ## pin the images that Dockerfile and deploy/ name to the digests of their tags (asks the registry)
	scripts/pin-images

format: $(DEV) ## rewrite the sources as ruff would have them
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

dev: $(DEV) ## make .venv with everything in it, and nothing more

site: ## the documentation as a site in build/site: open build/site/index.html; searchable without a network
	@PYTHON="$(PYTHON)" scripts/site build/site

dist: $(DEV) ## the wheel and the sdist in dist/, the same bytes from the same files
	@rm -rf dist
	$(BIN)/python -m hatchling build --directory dist

lock: $(DEV) ## write requirements/*.txt after an edit of pyproject.toml, with as few changes as possible
	scripts/lock

upgrade: $(DEV) ## write requirements/*.txt with the newest versions
	scripts/lock --upgrade

clean: ## remove .venv, the clients of the tests, caches and builds; ./packages stays
	rm -rf $(VENV) .venvs build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(RUN): pyproject.toml requirements/build.txt requirements/run.txt
	@scripts/environment $(PYTHON) $(VENV) build run
	@touch $@

# The dev lock contains the run lock, so both stamps are right after it: `make serve` has nothing left to do.
$(DEV): pyproject.toml requirements/dev.txt
	@scripts/environment $(PYTHON) $(VENV) dev
	@touch $(RUN) $@
