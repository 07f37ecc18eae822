// The report that is copied: text for a message to the operator. It holds no credentials.

/**
 * `rows` are `{ title, state, value, text, facts?, url? }` in their order, `verdict` as
 * `verdict.js` gives it.
 */
export function writeReport({ verdict, rows, page, browser, at }) {
  const width = Math.max(...rows.map(({ title }) => title.length));
  return [
    `Heliograph check of ${page}`,
    at.toISOString(),
    browser,
    "",
    `${verdict.title}.`,
    ...[verdict.text, verdict.advice].filter(Boolean),
    "",
    ...rows.flatMap((row) => describe(row, width)),
    "",
  ].join("\n");
}

function describe({ title, state, value, text, facts, url }, width) {
  const indent = " ".repeat(width + 11);
  const figures = facts?.map(([name, figure]) => `${name.toLowerCase()} ${figure}`).join(", ");
  const first = figures ?? value;
  return [
    `${state.padEnd(8)} ${title.padEnd(width)}  ${first}`.trimEnd(),
    `${indent}${text}`,
    ...(url ? [`${indent}${url}`] : []),
  ];
}
