# bulsa: build, run, test. Everything else: `bulsa help`.
GO          ?= go
EXAMPLE     := examples/zombie-server
PORT        ?= 3333
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: build run test e2e bench check lint clean

build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w" -o bulsa ./cmd/bulsa

run: build $(EXAMPLE)/node_modules
	./bulsa run -w 4 -p $(PORT) $(EXAMPLE)/cluster.js

test: check $(EXAMPLE)/node_modules
	scripts/test.sh

e2e: $(EXAMPLE)/node_modules
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

$(EXAMPLE)/node_modules: $(EXAMPLE)/package-lock.json
	npm ci --prefix $(EXAMPLE) --no-audit --no-fund
	touch $@

clean:
	rm -rf bulsa .cache $(EXAMPLE)/node_modules
