/**
 * `npm run docs`: every example is compiled and run.
 *
 * Each `ts` block of README.md, `docs/` and the comments of what ships becomes a module of its own,
 * on the lines it has in its file, so that every complaint names the place; so does each program in
 * `docs/examples`. It must end by itself, with success. Of `sh` blocks, and of commands within the text, it is
 * checked that the scripts, commands and flags they name exist.
 */
import { execFile, spawnSync } from "node:child_process"
import * as fs from "node:fs"
import { availableParallelism } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

interface Block {
  readonly file: string
  /** The number of the line of its opening fence, from 1. */
  readonly line: number
  readonly language: string
  readonly lines: ReadonlyArray<string>
}

const root = fileURLToPath(new URL("..", import.meta.url))
const read = (file: string) => fs.readFileSync(join(root, file), "utf8")
const secondsMax = 60

/** The text as Markdown, line by line: of a source only its doc comments, without their margin. */
const markdownOf = (file: string): ReadonlyArray<string> => {
  const lines = read(file).split("\n")
  if (file.endsWith(".md")) return lines
  let isComment = false
  return lines.map((line) => {
    if (/^\s*\/\*\*/.test(line)) isComment = true
    const text = isComment ? line.replace(/^\s*(\/\*\*|\*\/|\*) ?/, "") : ""
    if (line.includes("*/")) isComment = false
    return text
  })
}

const blocksOf = (file: string): ReadonlyArray<Block> => {
  const blocks: Array<Block> = []
  let open: { line: number; fence: string; language: string; lines: Array<string> } | undefined
  for (const [at, line] of markdownOf(file).entries()) {
    const [, fence, language = ""] = /^\s*(`{3,})\s*(.*?)\s*$/.exec(line) ?? []
    if (open === undefined && fence !== undefined) {
      open = { line: at + 1, fence, language, lines: [] }
    } else if (open !== undefined && fence?.startsWith(open.fence) && language === "") {
      blocks.push({ file, ...open })
      open = undefined
    } else open?.lines.push(line)
  }
  return blocks
}

/** Comments of tests show tests, which only the test runner can run. */
const isOfTests = (file: string) =>
  /\.test\.ts$|^core\/(contract|simulation)\//.test(file) ||
  /from "(@effect\/)?vitest/.test(read(file))

const files = fs.globSync([
  "README.md",
  "docs/**/*.md",
  "{core,adapters,cluster,cli,promise,testing}/**/*.ts",
], {
  cwd: root,
})
  .filter((file) => file.endsWith(".md") || !isOfTests(file))
  .toSorted()
/** Programs of a file each, which are blocks without a fence. */
const programs = fs.globSync("docs/examples/*.ts", { cwd: root }).toSorted().map((file): Block => ({
  file,
  line: 0,
  language: "ts",
  lines: read(file).split("\n"),
}))
const blocks = [...files.flatMap(blocksOf), ...programs]
const problems: Array<string> = []

// --- TypeScript

const isTypeScript = ({ language }: Block) => /^(ts|typescript|tsx)\b/.test(language)
for (const { file, language, line } of blocks.filter(isTypeScript)) {
  if (language !== "ts") {
    problems.push(`${file}:${line}: a block is \`ts\`, and runs; this one says \`${language}\``)
  }
}
const examples = blocks.filter(({ language }) => language === "ts")

// Within the project, so that `belfry` and its packages are found; outside of what is checked in.
fs.mkdirSync(join(root, "dist"), { recursive: true })
const folder = fs.mkdtempSync(join(root, "dist", "docs-"))
process.on("exit", () => fs.rmSync(folder, { recursive: true, force: true }))

const nameOf = ({ file, line }: Block) => `${file.replaceAll("/", "__")}--${line}.ts`
/** Says places of the modules as the places they were taken from. */
const translated = (text: string) =>
  text.replaceAll(
    /(?:file:\/\/)?[^\s("']*?([\w.-]+)--\d+\.ts(?:\((\d+),\d+\)|:(\d+)(?::\d+)?)?/g,
    (_, name: string, line = "", other = line) => `${name.replaceAll("__", "/")}:${other}`,
  )

const compile = () => {
  for (const block of examples) {
    fs.writeFileSync(
      join(folder, nameOf(block)),
      "\n".repeat(block.line) + block.lines.join("\n") + "\n",
    )
  }
  fs.writeFileSync(
    join(folder, "tsconfig.json"),
    JSON.stringify({
      extends: "../../tsconfig.json",
      compilerOptions: { noUnusedLocals: false, moduleDetection: "force" },
      include: ["*.ts"],
      exclude: [],
    }),
  )
  const { status, stdout } = spawnSync(
    process.execPath,
    [join(root, "node_modules/typescript/bin/tsc"), "-p", folder, "--pretty", "false"],
    { cwd: root, encoding: "utf8" },
  )
  if (status !== 0) problems.push(translated(stdout.trim()))
}

const run = (block: Block) =>
  new Promise<void>((resolve) => {
    const options = {
      cwd: folder,
      encoding: "utf8",
      timeout: secondsMax * 1000,
      killSignal: "SIGKILL",
    } as const
    const child = execFile(process.execPath, [nameOf(block)], options, (error, stdout, stderr) => {
      const place = `${block.file}:${block.line}`
      if (error?.killed) problems.push(`${place}: the example had not ended after ${secondsMax} s`)
      else if (error) {
        problems.push(`${place}: the example failed\n${translated((stderr || stdout).trim())}`)
      }
      resolve()
    })
    child.stdin?.end()
  })

const runAll = async () => {
  const waiting = [...examples]
  const worker = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) await run(next)
  }
  await Promise.all(Array.from({ length: Math.min(4, availableParallelism()) }, worker))
}

// --- Shell

const { scripts } = JSON.parse(read("package.json"))

/** Looks up the scripts, the commands of ours and their flags that a block names. */
const checkShell = (block: Block) => {
  let begun = ""
  for (const [at, line] of block.lines.entries()) {
    const place = `${block.file}:${block.line + at + 1}`
    const whole = begun + line.replace(/(^|\s)#.*$/, "")
    begun = whole.endsWith("\\") ? whole.slice(0, -1) : ""
    if (begun !== "") continue
    for (const command of commandsOf(whole)) {
      const words = command.split(/\s+/)
      const script = words[0] === "npm" &&
        (words[1] === "run" ? words[2] : words[1] === "test" ? "test" : undefined)
      if (script && !(script in scripts)) {
        problems.push(`${place}: there is no \`npm run ${script}\``)
      }
      checkOurs(place, words)
    }
  }
}

/** What is quoted is a value, whatever is in it. */
const commandsOf = (line: string): ReadonlyArray<string> =>
  line.replaceAll(/'[^']*'|"[^"]*"/g, "…").split(/&&|\|\|?|;/).map((part) => part.trim())

const checkOurs = (place: string, words: ReadonlyArray<string>) => {
  const ours = words[0] === "npx" ? words.slice(1) : words
  if (ours[0] === "belfry") checkCommand(place, ours.slice(1))
}

/** Of commands within a line of text. */
const checkText = (file: string) => {
  let isBlock = false
  for (const [at, line] of markdownOf(file).entries()) {
    if (/^\s*```/.test(line)) isBlock = !isBlock
    if (isBlock) continue
    for (const [, command = ""] of line.matchAll(/`((?:npx )?belfry [^`]*)`/g)) {
      // With what may be left out, and without a list of what comes after it.
      const [first = ""] = commandsOf(command.replaceAll(/[[\]]/g, " "))
      checkOurs(`${file}:${at + 1}`, first.replace(/,.*$/, "").split(/\s+/))
    }
  }
}

/** The help of each command, once. */
const helps = new Map<string, { readonly out: string; readonly err: string }>()
const helpOf = (name: string) => {
  const known = helps.get(name)
  if (known !== undefined) return known
  const { stderr, stdout } = spawnSync(
    process.execPath,
    [join(root, "cli/belfry.mjs"), ...name.split(" ").filter((word) => word !== ""), "--help"],
    { encoding: "utf8", env: { ...process.env, NO_COLOR: "1" } },
  )
  const help = { out: `${stdout}\n`, err: stderr }
  helps.set(name, help)
  return help
}

/** Every command takes these, and its help does not say so. */
const common = new Set(["--help", "--version", "--completions", "--log-level"])

const checkCommand = (place: string, words: ReadonlyArray<string>) => {
  const begin = words.slice(0, words.findIndex((word) => !/^[a-z]+$/.test(word)) >>> 0)
  // The words after the command are what it is about.
  const name = [...begin]
  const isKnown = () => helpOf(name.join(" ")).out.includes(`\n  ${["belfry", ...name].join(" ")} `)
  while (name.length > 1 && !isKnown()) name.pop()
  // Asked about a command that it does not know, it tells of the nearest it does.
  const { err, out } = helpOf(name.join(" "))
  if (!isKnown() || (name.length < begin.length && /<subcommand>/.test(out))) {
    return problems.push(`${place}: there is no \`belfry ${begin.join(" ")}\`\n${err}`)
  }
  for (const word of words) {
    const [flag] = /^(--[a-z][a-z-]*|-[a-z])(?==|$)/.exec(word) ?? []
    if (flag === undefined || common.has(flag)) continue
    if (!new RegExp(`(^|[\\s,])${flag}(?![a-z-])`, "m").test(out)) {
      problems.push(`${place}: \`belfry ${name.join(" ")}\` takes no ${flag}`)
    }
  }
}

for (const file of files) checkText(file)
for (const block of blocks) if (/^(sh|bash|shell)$/.test(block.language)) checkShell(block)
compile()
await runAll()

for (const problem of problems) console.error(`${problem}\n`)
const shell = blocks.filter(({ language }) => language === "sh").length
console.log(
  `${examples.length} examples compiled and run, ${shell} sh blocks looked through, ${problems.length} problems`,
)
process.exitCode = problems.length === 0 ? 0 : 1
