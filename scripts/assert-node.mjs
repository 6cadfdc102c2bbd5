// The project brings its own Node; a script that silently ran on another one would prove nothing.
const major = Number(process.versions.node.split(".")[0])
if (major !== 24) {
  console.error(
    `belfry is developed on Node 24, but this is ${process.version} (${process.execPath}).\n` +
      "Run it through npm (`npm test`), so that node_modules/.bin comes first, after `npm ci`.",
  )
  process.exit(1)
}
