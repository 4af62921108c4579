# bulsa: build, run, test. Everything else: `bulsa help`.
GO      ?= go
EXAMPLE := examples/zombie-server
PORT    ?= 3333

.PHONY: build run run-docker run-docker-bulsa test soak e2e apps fuzz bench bench-mixed conformance lab check lint clean

build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w" -o bulsa ./cmd/bulsa
run: build $(EXAMPLE)/node_modules
	./bulsa run -w 4 -p $(PORT) $(EXAMPLE)/cluster.js

# Needs a Docker Engine. Without a registry the base image is made from this machine's node.
run-docker: build $(EXAMPLE)/node_modules
	$(EXAMPLE)/base-image.sh
	./bulsa -f $(EXAMPLE)/compose.docker.yaml up --build

# The same with bulsa as the containers' first process.
run-docker-bulsa: build $(EXAMPLE)/node_modules
	$(EXAMPLE)/base-image.sh
	cp bulsa $(EXAMPLE)/bulsa
	./bulsa -f $(EXAMPLE)/compose.2.2.2.yaml up --build

test:
	scripts/test-deps.sh
	$(MAKE) --no-print-directory check
	scripts/test.sh
soak:
	scripts/test-deps.sh
	scripts/soak.sh
e2e:
	CGO_ENABLED=0 $(GO) test -count=1 -parallel 6 -timeout 20m ./e2e

# Real frameworks, servers and launchers from npm; writes the matrix of docs/apps.md.
apps: build e2e/testdata/matrix/node_modules
	BULSA_TEST_DENO=$$(scripts/test-nodes.sh deno) BULSA_TEST_BUN=$$(scripts/test-nodes.sh bun) BULSA_E2E_APPS=$(CURDIR)/docs/apps.md \
		BULSA_E2E_BINARY=$(CURDIR)/bulsa CGO_ENABLED=0 $(GO) test -count=1 -parallel 3 -timeout 20m -run TestTheMatrixOfApps ./e2e
fuzz:
	scripts/fuzz.sh

bench: build
	$(GO) build -o .cache/ ./bench/...
	.cache/dataplane && .cache/peers
bench-mixed: build
	$(GO) run ./bench/mixed
conformance: build
	$(GO) run ./bench/conformance
lab: build
	./bulsa lab -o lab.html

check:
	@files=$$(gofmt -l bench cmd e2e examples internal); test -z "$$files" || { echo "not formatted (gofmt -w):" $$files; exit 1; }
	CGO_ENABLED=0 $(GO) vet ./... # compiles what the end-to-end tests build
	CGO_ENABLED=0 $(GO) test -run OnDarwin ./internal
lint:
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...

%/node_modules: %/package-lock.json
	npm ci --prefix $* --no-audit --no-fund
	touch $@
clean:
	rm -rf bulsa .cache examples/*/node_modules e2e/testdata/*/node_modules
