# bulsa: build, run, test. Everything else: `bulsa help`.
GO          ?= go
EXAMPLE     := examples/zombie-server
APPS        := $(EXAMPLE) e2e/testdata/apps
PORT        ?= 3333
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: build run test e2e bench check lint clean

build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w" -o bulsa ./cmd/bulsa

run: build $(EXAMPLE)/node_modules
	./bulsa run -w 4 -p $(PORT) $(EXAMPLE)/cluster.js

test: check $(APPS:%=%/node_modules)
	scripts/test.sh

e2e: $(APPS:%=%/node_modules)
	$(GO) test -race -count=1 -timeout 15m ./e2e

bench: build
	$(GO) build -o .cache/ ./bench/peers ./bench/lossload
	.cache/peers

check:
	@files=$$(gofmt -l bench cmd e2e examples internal); test -z "$$files" || { echo "not formatted (gofmt -w):" $$files; exit 1; }
	$(GO) vet ./...
	GOOS=darwin $(GO) build ./...

lint:
	$(GO) run $(STATICCHECK) ./...

%/node_modules: %/package-lock.json
	npm ci --prefix $* --no-audit --no-fund
	touch $@

clean:
	rm -rf bulsa .cache $(APPS:%=%/node_modules)
