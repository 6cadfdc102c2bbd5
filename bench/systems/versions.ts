import { readFileSync } from "node:fs"

/** The installed version of a package, read from its manifest, which `exports` may hide. */
const versionIn = (modules: URL, name: string): string =>
  JSON.parse(readFileSync(new URL(`${name}/package.json`, modules), "utf8"))
    .version

export const peerVersion = (name: string): string =>
  versionIn(new URL("../node_modules/", import.meta.url), name)

export const ownVersion = (name: string): string =>
  versionIn(new URL("../../node_modules/", import.meta.url), name)
