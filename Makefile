# The commands of this project. Each is a readable script in scripts/.
.PHONY: install check test build

install: ; @scripts/install.sh
check:   ; @scripts/check.sh
test:    ; @scripts/test.sh
build:   ; @scripts/build.sh
