# bulsa: build, run, test. Everything else: `bulsa help`.
GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
EXAMPLE := examples/zombie-server
PORT    ?= 3333

.PHONY: build run test e2e bench check lint clean

build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w -X bulsa/internal/cli.version=$(VERSION)" -o bulsa ./cmd/bulsa

run: build $(EXAMPLE)/node_modules
	./bulsa run -w 4 -p $(PORT) $(EXAMPLE)/cluster.js

test: check $(EXAMPLE)/node_modules
	scripts/test.sh

e2e: build $(EXAMPLE)/node_modules
	$(GO) test -count=1 ./e2e/...

bench: build $(EXAMPLE)/node_modules
	scripts/bench.sh

check:
	test -z "$$(gofmt -l cmd internal e2e bench examples)" || { gofmt -l cmd internal e2e bench examples; exit 1; }
	$(GO) vet ./...
	GOOS=darwin $(GO) build ./...

lint:
	$(GO) run honnef.co/go/tools/cmd/staticcheck@latest ./...

$(EXAMPLE)/node_modules: $(EXAMPLE)/package-lock.json
	npm ci --prefix $(EXAMPLE) --no-audit --no-fund
	touch $@

clean:
	rm -rf bulsa $(EXAMPLE)/node_modules
