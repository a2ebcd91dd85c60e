"""Contrast of texts, also of those that axe leaves undecided: on a gradient, or near a shape."""

LOW_CONTRAST = """() => {
    const parse = (text) => {
        const [red, green, blue, alpha = 1] = text.match(/[\\d.]+/g).map(Number);
        return [red, green, blue, alpha];
    };
    const over = (top, below) => {
        const alpha = top[3] + below[3] * (1 - top[3]);
        const mix = (i) => (top[i] * top[3] + below[i] * below[3] * (1 - top[3])) / (alpha || 1);
        return [mix(0), mix(1), mix(2), alpha];
    };
    const linear = (value) =>
        (value <= 10 ? value / 3294.6 : ((value / 255 + 0.055) / 1.055) ** 2.4);
    const luminance = ([red, green, blue]) =>
        0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
    const ratio = (...colours) => {
        const [dark, light] = colours.map(luminance).sort((a, b) => a - b);
        return (light + 0.05) / (dark + 0.05);
    };
    const valueOf = (name) => {
        const probe = document.body.appendChild(document.createElement('i'));
        probe.style.color = `var(${name})`;
        const { color } = getComputedStyle(probe);
        probe.remove();
        return parse(color);
    };
    const grounds = ['--ground', '--glow-a', '--glow-b'].map(valueOf);
    const onGround = (node) => {
        let pixels = [parse(getComputedStyle(node).color), [0, 0, 0, 0]];
        for (let at = node; at !== document.documentElement; at = at.parentElement) {
            const { backgroundColor, opacity } = getComputedStyle(at);
            pixels = pixels.map((pixel) => over(pixel, parse(backgroundColor)))
                .map(([red, green, blue, alpha]) => [red, green, blue, alpha * opacity]);
        }
        return grounds.map((ground) => pixels.map((pixel) => over(pixel, ground)));
    };
    const wanted = ({ fontSize, fontWeight }) => {
        const size = parseFloat(fontSize);
        return size >= 24 || (size >= 18.66 && fontWeight >= 700) ? 3 : 4.5;
    };
    const isText = (node) => node.checkVisibility({ visibilityProperty: true })
        && !node.closest('.unseen, option, svg, noscript')
        && [...node.childNodes].some((one) => one.nodeType === Node.TEXT_NODE && one.data.trim());
    return [...document.querySelectorAll('body *')].filter(isText)
        .map((node) => [node, Math.min(...onGround(node).map((pair) => ratio(...pair)))])
        .filter(([node, least]) => least < wanted(getComputedStyle(node)))
        .map(([node, least]) => `${least.toFixed(2)}: ${node.outerHTML.slice(0, 80)}`);
}"""
"""Texts with a contrast below WCAG AA on the page's background, both its colour and its glow."""
