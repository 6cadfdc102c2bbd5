/** `npm run bench -- <question>`: installs the peers if need be, then asks. */
import { install } from "./install.ts"

install()
// Only now can modules that import the peers be loaded.
await import("./cli.ts")
