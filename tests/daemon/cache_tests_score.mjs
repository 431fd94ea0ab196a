// How many of the public cache tests passed, and whether that is enough: FOLDER RESULTS REQUIRED OPTIMAL.
import fs from 'fs'

const [folder, file, required, optimal] = process.argv.slice(2)
const { default: suites } = await import(folder + '/tests/index.mjs')
const results = JSON.parse(fs.readFileSync(file))
const passed = { required: 0, optimal: 0, check: 0 }
const all = { required: 0, optimal: 0, check: 0 }
for (const suite of suites) {
  for (const test of suite.tests) {
    if (test.browser_only) continue
    const kind = test.kind || 'required'
    all[kind]++
    if (results[test.id] === true) {
      passed[kind]++
    } else if (kind !== 'check') {
      console.log(`${kind}: ${test.id}: ${JSON.stringify(results[test.id])}`)
    }
  }
}
for (const kind in all) console.log(`${kind}: ${passed[kind]} of ${all[kind]}`)
process.exit(passed.required >= Number(required) && passed.optimal >= Number(optimal) ? 0 : 1)
