/**
 * The architecture on a page: what each folder may import, and what is found in none.
 *
 * What ships is what the exports and the command of `package.json` reach; everything else is a test
 * or belongs to one.
 */
import { assert, describe, it } from "@effect/vitest"
import { existsSync, globSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path"

/** What each folder may import besides itself. Each adapter is a folder of its own. */
const mayImport: Record<string, ReadonlyArray<string>> = {
  "core": ["core/domain", "core/services", "core/engine"],
  "core/domain": [],
  "core/services": ["core/domain"],
  "core/engine": ["core/domain", "core/services"],
  "core/contract": ["core/domain", "core/services", "core/engine"],
  "core/simulation": ["core", "adapters/memory", "adapters/sqlite", "adapters/direct"],
  "adapters": ["core/domain", "core/services"],
  // The other side of a channel builds programs, and so knows what they are made of.
  "adapters/isolated": ["core/domain", "core/services", "core/engine"],
  // Both ways in which executors reach a server, whatever its storage is: `cli` chooses that.
  "cluster": ["core", "adapters/direct", "adapters/rpc"],
  "cli": ["core", "adapters", "cluster"],
  // A program of promises names its storage in an option, so this chooses adapters as `cli` does.
  "promise": ["core", "adapters", "cluster"],
  // Virtual time is the memory storage's alone: all others live by clocks of their own.
  "testing": ["core", "adapters/memory", "adapters/direct", "promise"],
  "bench": ["core", "adapters", "cluster"],
  "docs": ["core", "adapters", "cluster", "promise", "testing"],
  "scripts": [],
}

/** The packages besides `effect` that a folder may import; `node:` stands for all of Node's. */
const mayUse: Record<string, ReadonlyArray<string>> = {
  "core": [],
  "core/domain": ["croner"],
  "core/services": [],
  "core/engine": [],
  "core/contract": ["@effect/vitest", "vitest"],
  "core/simulation": ["node:"],
  "adapters/direct": [],
  "adapters/file": ["node:"],
  "adapters/isolated": ["node:"],
  "adapters/memory": [],
  "adapters/postgres": ["@effect/sql-pg", "node:"],
  "adapters/redis": ["redis", "node:"],
  "adapters/rpc": ["@effect/platform-node", "node:"],
  "adapters/sqlite": ["node:"],
  "cluster": ["@effect/platform-node", "@effect/sql-pg", "node:"],
  "cli": ["@effect/platform-node", "node:"],
  "promise": [],
  "testing": [],
}

/** Who may read a clock of its own, wait in real time, or draw lots. Everybody else is simulated. */
const mayLookAtTheWorld: Record<string, string> = {
  "cli/": "people read the time of their own clock",
}

/** What exists for tests alone: it may import the test runner, and whatever it likes of ours. */
const isTest = (file: string) =>
  /\.(test|setup|fixture)\.ts$|^core\/(contract|simulation)\//.test(file) || helpers.has(file)

/** Parts of tests whose names do not say so; the first lines of each do. */
const helpers = new Set([
  "adapters/postgres/TestDatabase.ts",
  "adapters/postgres/TestStorage.ts",
  "cli/fixture.ts",
])

const files = globSync(
  "{core,adapters,cluster,cli,promise,testing,bench,docs,scripts}/**/*.{ts,mjs}",
)
  .filter((file) => !/node_modules\/|\/generated\//.test(file))
  .toSorted()
const text = (file: string) => readFileSync(file, "utf8")
/** Without comments, which may name what they like. */
const code = (file: string) =>
  text(file).replace(/\/\*[^]*?\*\//g, (comment) => comment.replace(/[^\n]/g, "")).replace(
    /(^|[^:"'`\\])\/\/.*$/gm,
    "$1",
  )

const homeOf = (file: string) => /^((core|adapters)\/[^/]+|[^/]+)\//.exec(file)?.[1] ?? ""
const ruleOf = <A>(rules: Record<string, A>, home: string) =>
  rules[home] ?? rules[home.split("/")[0] ?? ""]

const importsOf = (file: string): ReadonlyArray<string> =>
  [
    ...code(file).matchAll(
      /^(?:import|export)\b(?:[^"']*?\bfrom)? "([^"]+)"|\b(?:import|import\.meta\.resolve)\("([^"]+)"\)/gm,
    ),
  ].map(([, path = "", lazy = path]) => path || lazy)
const isOurs = (path: string) => path.startsWith(".")
const targetOf = (file: string, path: string) => join(dirname(file), path)

const none = (stray: ReadonlyArray<string>) => assert.deepStrictEqual(stray, [])

describe("imports", () => {
  it("are found", () => {
    assert.isAbove(files.length, 100)
    assert.include(importsOf("core/mod.ts"), "./engine/Task.ts")
    assert.include(importsOf("cli/layers.ts"), "../adapters/memory/mod.ts", "lazy ones too")
    none(
      files.flatMap((file) =>
        importsOf(file).filter((path) => isOurs(path) && !existsSync(targetOf(file, path)))
          .map((path) => `${file} imports ${path}, which is not there`)
      ),
    )
  })

  it("point the way the design says", () => {
    none(
      files.filter((file) => !isTest(file)).flatMap((file) => {
        const home = homeOf(file)
        const allowed = ruleOf(mayImport, home)
        if (allowed === undefined) return [`${home} has no row in the table`]
        return importsOf(file).filter(isOurs).map((path) => targetOf(file, path))
          .filter((target) => homeOf(target) !== home && homeOf(target) !== "")
          .filter((target) => !allowed.some((at) => target.startsWith(`${at}/`)))
          .map((target) => `${file} imports ${target}`)
      }),
    )
  })

  it("name no package that the folder has no business with", () => {
    none(
      files.filter((file) => !isTest(file)).flatMap((file) => {
        const allowed = ruleOf(mayUse, homeOf(file))
        return allowed === undefined ? [] : importsOf(file)
          .filter((path) => !isOurs(path) && !/^effect(\/|$)/.test(path))
          .filter((path) =>
            !allowed.some((name) => `${path}/`.startsWith(`${name.replace(/([^:])$/, "$1/")}`))
          )
          .map((path) => `${file} imports ${path}`)
      }),
    )
  })

  it("take nothing that ships to a test", () => {
    const { bin, exports } = JSON.parse(text("package.json"))
    const roots = [...Object.values<string>(exports), ...Object.values<string>(bin)]
      .filter((root) => root.endsWith("s") && !root.startsWith("./core/contract/"))
      .map((root) => join(root))
    const reached = new Set<string>()
    const stray: Array<string> = []
    const visit = (file: string, from: string) => {
      if (isTest(file)) return void stray.push(`${from} imports ${file}`)
      if (reached.has(file)) return
      reached.add(file)
      for (const path of importsOf(file)) {
        if (isOurs(path)) visit(targetOf(file, path), file)
        else if (/vitest/.test(path)) stray.push(`${file} imports ${path}`)
      }
      // The command chooses between sources and what is built of them.
      if (file === "cli/belfry.mjs") visit("cli/main.ts", file)
    }
    for (const root of roots) visit(root, "package.json")
    none(stray)
    // What nothing reaches is dead, or a part of a test that should say so.
    none(
      files.filter((file) => /^(core|adapters|cluster|cli|promise|testing)\//.test(file))
        .filter((file) => !reached.has(file) && !isTest(file)),
    )
  })
})

describe("files", () => {
  const offences = (pattern: RegExp, some: ReadonlyArray<string>) =>
    some.flatMap((file) =>
      code(file).split("\n").flatMap((line, at) =>
        pattern.test(line) ? [`${file}:${at + 1}: ${line.trim()}`] : []
      )
    )

  it("take time and luck from where a simulation can give them", () => {
    none(offences(
      /\bDate\.now\b|\bMath\.random\b|\bnew Date\(\)|(?<![.\w])set(Timeout|Interval|Immediate)\b/,
      files.filter((file) =>
        /^(core|adapters|cluster|cli|promise|testing)\//.test(file) && !isTest(file)
      )
        .filter((file) => !Object.keys(mayLookAtTheWorld).some((path) => file.startsWith(path))),
    ))
  })

  it("are named after what they are about", () =>
    none(files.filter((file) => /\/(utils?|helpers?|common|types|misc|shared)\.ts$/.test(file))))

  it("leave nothing to do", () =>
    none(files.filter((file) => /\b(TODO|FIXME|XXX|HACK)\b/.test(text(file)))))

  it("skip no test, and single none out", () =>
    none(offences(/\b(it|test|describe)(\.\w+)*\.(skip|only|todo|skipIf|fails)\b/, files)))
})
