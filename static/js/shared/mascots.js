/** What a customer can be recognised by. */
export const LOGOS = ['lion', 'cat', 'turtle', 'rabbit', 'owl', 'fox', 'octopus', 'bee'];

/** The picture of a logo; the robot stands in for one that we have not drawn. */
export const logoImage = (logo) => (LOGOS.includes(logo) ? `img/logos/${logo}.svg` : 'img/robot.svg');
