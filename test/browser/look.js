// Opens pages in Chromium at three widths, light and dark, and prints a line for each thing that is wrong: what axe-core
// finds, a page wider than the window, a request to anywhere, a message in the console, an element made by hostile data.
//
//   node look.js CHROMIUM PAGE.html...      with SHOTS=DIRECTORY also takes pictures

'use strict';
const fs = require('fs');
const path = require('path');
const { chromium } = require('playwright-core');

const axe = fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

async function look(browser, file, width, colorScheme) {
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme });
  const page = await context.newPage();
  const faults = [];

  page.on('request', request => {
    if (!/^(file|data):/.test(request.url())) faults.push('requests ' + request.url());
  });
  page.on('console', message => faults.push('console: ' + message.text()));
  page.on('pageerror', error => faults.push('error: ' + error));
  page.on('dialog', dialog => { faults.push('dialog'); dialog.dismiss(); });
  await page.goto('file://' + file);
  const found = await page.evaluate(() => ({
    over: document.documentElement.scrollWidth - innerWidth,
    scripts: document.querySelectorAll('script, img, iframe, [onload], [onerror]').length,
  }));
  if (found.over > 0) faults.push(found.over + ' pixels too wide');
  if (found.scripts > 0) faults.push(found.scripts + ' elements that are not ours');
  await page.evaluate(axe);
  for (const violation of (await page.evaluate(() => axe.run())).violations)
    faults.push(`${violation.id}: ${violation.nodes.length} times, first ${violation.nodes[0].html.slice(0, 200)}`);
  if (process.env.SHOTS)
    await page.screenshot({ path: path.join(process.env.SHOTS, `${path.basename(file, '.html')}-${width}-${colorScheme}.png`), fullPage: true });
  await context.close();
  return faults.map(fault => `${path.basename(file)} ${width} ${colorScheme}: ${fault}`);
}

async function main([executablePath, ...files]) {
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });

  for (const file of files)
    for (const width of [390, 768, 1280])
      for (const colorScheme of ['light', 'dark'])
        for (const line of await look(browser, file, width, colorScheme)) console.log(line);
  await browser.close();
}

main(process.argv.slice(2)).catch(error => { console.error(error); process.exit(1); });
