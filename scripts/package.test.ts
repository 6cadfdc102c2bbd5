/** What is published: installed into empty folders, imported, compiled against and run. */
import { assert, beforeAll, describe, it } from "@effect/vitest"
import { spawn, spawnSync } from "node:child_process"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll } from "vitest"
import { build, type Built } from "./build.ts"

const root = fileURLToPath(new URL("..", import.meta.url))
const own = JSON.parse(readFileSync(join(root, "package.json"), "utf8"))
const deno = join(root, "scripts/deno.mjs")
const temporary = mkdtempSync(join(tmpdir(), "belfry-package-"))
afterAll(() => rmSync(temporary, { recursive: true, force: true }))

/** What it printed; fails with all of that when the command does. */
const run = (folder: string, command: string, ...words: ReadonlyArray<string>) => {
  const env: NodeJS.ProcessEnv = { ...process.env, NO_COLOR: "1" }
  // Of the project's own npm script, and not for packages elsewhere.
  for (const name of Object.keys(env)) if (/^(npm_|VITEST|NODE_ENV)/i.test(name)) delete env[name]
  const { error, status, stderr, stdout } = spawnSync(command, words, {
    cwd: folder,
    env,
    encoding: "utf8",
    timeout: 240_000,
  })
  assert.strictEqual(
    status,
    0,
    `${command} ${words.join(" ")}: ${error ?? ""}\n${stdout}\n${stderr}`,
  )
  return stdout
}
const node = (folder: string, ...words: ReadonlyArray<string>) =>
  run(folder, process.execPath, ...words)

const install = (name: string, ...packages: ReadonlyArray<string>) => {
  const folder = join(temporary, name)
  mkdirSync(folder)
  writeFileSync(join(folder, "package.json"), JSON.stringify({ private: true, type: "module" }))
  const quiet = ["--no-audit", "--no-fund", "--prefer-offline", "--ignore-scripts"]
  run(folder, "npm", "install", ...quiet, ...packages)
  return folder
}
const pinned = (name: string) => {
  const version = own.devDependencies[name] ?? own.peerDependencies[name]
  assert.isString(version, name)
  return `${name}@${version}`
}

/** Each needs a package that only its users install. */
const needsPeer: Record<string, string> = {
  "./postgres": "@effect/sql-pg",
  "./cluster/ownership": "@effect/sql-pg",
  "./redis": "redis",
  "./contract": "@effect/vitest",
}
const subpaths = Object.keys(own.exports).filter((path) => path !== "./package.json")
const specifier = (path: string) => `belfry${path.slice(1)}`

const consumer = `
import { Effect, Layer, Schema } from "effect"
import { Retry, Task } from "belfry"
import * as Embedded from "belfry/embedded"
import * as Memory from "belfry/memory"

const Hello = Task.make("hello/world", {
  payload: { name: Schema.String },
  success: Schema.String,
  policy: { timeout: "5 seconds", retry: Retry.exponential({ attempts: 3 }) },
})

const HelloLive = Hello.toLayer(({ name }) => Effect.succeed(\`Hello, \${name}!\`))

const Live = HelloLive.pipe(Layer.provideMerge(Embedded.layer), Layer.provide(Memory.layer))

const answer: string = await Effect.runPromise(
  Effect.provide(Hello.execute({ name: "Ada" }), Live),
)
console.log(answer)
`

/** Of promises, in an empty folder: no optional peer, and a schema written by hand. */
const promises = `
import { Refused, start, task, Trigger } from "belfry/promise"
import { startTesting } from "belfry/testing"

const name = {
  "~standard": {
    version: 1,
    vendor: "hand",
    validate: (value) =>
      typeof value?.name === "string" ? { value } : { issues: [{ message: "a name is wanted" }] },
  },
}
const text = { "~standard": { version: 1, vendor: "hand", validate: (value) => ({ value }) } }
const hello = task("hello/world", { payload: name, success: text })
const handlers = [hello.handler(async ({ name }) => \`Hello, \${name}!\`)]

for (const storage of ["memory", { sqlite: "belfry.db" }]) {
  await using belfry = await start({ storage, handlers })
  console.log(await belfry.execute(hello, { name: "Ada" }))
}

const refused = await start({ storage: { postgres: "postgres://127.0.0.1:1/none" } }).catch((e) => e)
console.log(refused instanceof Refused, refused.field, refused.reason)

await using belfry = await startTesting({ handlers })
await belfry.schedule(hello, "nightly", Trigger.cron("0 3 * * *"), { name: "owls" })
await belfry.advance("30 days")
console.log((await belfry.runs(hello)).filter(({ result }) => result === "Hello, owls!").length)
`
const promised = `Hello, Ada!
Hello, Ada!
true storage.postgres the package @effect/sql-pg is not installed
30
`

const wrong = `
import { Schema } from "effect"
import { Task } from "belfry"

const Hello = Task.make("hello/world", { payload: { name: Schema.String } })
export const program = Hello.execute({ name: 7 })
export const other = Task.make("other", { policy: { timeout: undefined } })
`

describe("the package", () => {
  let built: Built
  let bare: string
  beforeAll(() => {
    built = build()
    bare = install("bare", built.tarball)
  })

  it("brings no development along", () => {
    const manifest = JSON.parse(
      readFileSync(join(bare, "node_modules/belfry/package.json"), "utf8"),
    )
    for (const key of ["scripts", "devDependencies", "optionalDependencies"]) {
      assert.notProperty(manifest, key)
    }
    assert.sameMembers(Object.keys(manifest.exports), Object.keys(own.exports))
    const files = run(bare, "tar", "tzf", built.tarball).trim().split("\n")
    for (const name of ["README.md", "CHANGELOG.md", "LICENSE"]) {
      assert.include(files, `package/${name}`)
    }
    assert.deepStrictEqual(
      files.filter((file) =>
        /\.test\.|fixture|Test[A-Z]|simulation\/|(?<!\.d)\.ts$|bench|docs\//.test(file)
      ),
      [],
    )
    // A fifth of it are the contract suites. What was not meant to come along brings more than features do.
    assert.isBelow(built.bytes, 1_250_000)
  })

  const imports = (of: ReadonlyArray<string>) =>
    `${
      of.map((path) =>
        `if (Object.keys(await import("${specifier(path)}")).length === 0) throw "${path}"`
      ).join("\n")
    }
    console.log("imported")`

  const alone = subpaths.filter((path) => !(path in needsPeer))

  it("is imported by Node without its optional peers", () => {
    writeFileSync(join(bare, "all.mjs"), imports(alone))
    assert.strictEqual(node(bare, "all.mjs"), "imported\n")
  })

  it("is imported by Deno without its optional peers", () => {
    assert.strictEqual(node(bare, deno, "run", "-A", "all.mjs"), "imported\n")
  })

  for (const [runtime, words] of Object.entries({ Node: [], Deno: [deno, "run", "-A"] })) {
    it(`serves programs of promises on ${runtime}, and their tests, without its peers`, () => {
      const folder = mkdtempSync(join(bare, "promises-"))
      writeFileSync(join(folder, "promises.mjs"), promises)
      assert.strictEqual(node(folder, ...words, "promises.mjs"), promised)
    })
  }

  it("has a command that answers without a server", () => {
    const belfry = (...words: ReadonlyArray<string>) =>
      run(bare, join(bare, "node_modules/.bin/belfry"), ...words)
    assert.strictEqual(belfry("--version").trim(), own.version)
    assert.match(belfry("trigger", "preview", "0 9 * * *", "--zone", "UTC"), /09:00/)
    assert.match(belfry("run", "submit", "--help"), /belfry run submit/)
  })

  const runtimes: Record<string, ReadonlyArray<string>> = { Node: [], Deno: [deno, "run", "-A"] }
  for (const [runtime, words] of Object.entries(runtimes)) {
    it(`has a command that carries runs out on ${runtime}`, async () => {
      const folder = mkdtempSync(join(bare, "dev-"))
      const belfry = [...words, join(bare, "node_modules/belfry/cli/belfry.mjs")]
      const dev = spawn(process.execPath, [...belfry, "dev", "--port", "0", "--json"], {
        cwd: folder,
        stdio: ["ignore", "pipe", "inherit"],
      })
      const ended = new Promise((resolve) => dev.on("exit", resolve))
      // It ends without, when it cannot start.
      await Promise.race([new Promise((resolve) => dev.stdout.once("data", resolve)), ended])
      try {
        const submit = ["run", "submit", "hello/world", '{"name":"Ada"}', "--wait"]
        assert.include(node(folder, ...belfry, ...submit), "Hello, Ada!")
      } finally {
        process.kill(dev.pid!, "SIGTERM")
        await ended
      }
    })
  }

  describe("with its peers", () => {
    let full: string
    beforeAll(() => {
      full = install(
        "full",
        built.tarball,
        ...["@effect/sql-pg", "@effect/vitest", "@types/node", "redis", "typescript", "vitest"]
          .map(pinned),
      )
      const compilerOptions = {
        target: "es2024",
        module: "nodenext",
        types: ["node"],
        strict: true,
        exactOptionalPropertyTypes: true,
        noUncheckedIndexedAccess: true,
        skipLibCheck: true,
        outDir: "out",
      }
      writeFileSync(join(full, "hello.ts"), consumer)
      writeFileSync(join(full, "wrong.ts"), wrong)
      const everything = subpaths.map((path, at) => `export * as m${at} from "${specifier(path)}"`)
      writeFileSync(join(full, "everything.ts"), everything.join("\n"))
      writeFileSync(
        join(full, "tsconfig.json"),
        JSON.stringify({ compilerOptions, files: ["hello.ts", "everything.ts"] }),
      )
    })

    it("is imported by Node, every subpath but that of the test runner", () => {
      writeFileSync(
        join(full, "all.mjs"),
        imports(subpaths.filter((path) => path !== "./contract")),
      )
      assert.strictEqual(node(full, "all.mjs"), "imported\n")
    })

    it("is imported by Deno, every subpath but that of the test runner", () => {
      assert.strictEqual(node(full, deno, "run", "-A", "all.mjs"), "imported\n")
    })

    it("has types that a strict program compiles against, and the program runs", () => {
      node(full, "node_modules/typescript/bin/tsc", "-p", ".")
      assert.strictEqual(node(full, "out/hello.js"), "Hello, Ada!\n")
      assert.strictEqual(node(full, "hello.ts"), "Hello, Ada!\n")
      assert.strictEqual(node(full, deno, "run", "-A", "hello.ts"), "Hello, Ada!\n")
    })

    it("has types of its own that are sound", () => {
      // Of others' declarations we only know that they are not ours.
      const words = ["-p", ".", "--noEmit", "--skipLibCheck", "false", "--pretty", "false"]
      const { stdout } = spawnSync(
        process.execPath,
        ["node_modules/typescript/bin/tsc", ...words],
        { cwd: full, encoding: "utf8" },
      )
      assert.deepStrictEqual(
        stdout.split("\n").filter((line) => line.includes("node_modules/belfry/")),
        [],
      )
    })

    it("has types that refuse what is wrong", () => {
      const { stdout } = spawnSync(
        process.execPath,
        [
          "node_modules/typescript/bin/tsc",
          ...["wrong.ts", "--ignoreConfig", "--noEmit", "--strict", "--exactOptionalPropertyTypes"],
          ...["--module", "nodenext", "--skipLibCheck", "--pretty", "false"],
        ],
        { cwd: full, encoding: "utf8" },
      )
      assert.match(stdout, /^wrong\.ts\(6,\d+\): error/m)
      assert.match(stdout, /^wrong\.ts\(7,\d+\): error/m)
    })

    it("has contract suites that an adapter elsewhere joins", () => {
      writeFileSync(
        join(full, "adapter.test.mjs"),
        `import { TestClock } from "effect/testing"
         import { LockContract } from "belfry/contract"
         import * as Memory from "belfry/memory"
         LockContract.suite("memory", Memory.layer, TestClock.adjust)`,
      )
      assert.match(node(full, "node_modules/vitest/vitest.mjs", "run"), /Tests +\d+ passed/)
    })
  })
})
