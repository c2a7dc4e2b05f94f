//! How it is drawn. Each state has its word beside its colour.

use super::screen::{Order, Screen};
use super::tables::{Cell, Kind, Row};
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Paragraph, Table};

const KEYS: &str = "1-4 Tab look at  s sort  r reverse  / find  arrows move  q quit";

/// One frame.
pub(super) fn draw(frame: &mut Frame<'_>, screen: &mut Screen) {
    let trouble = screen.trouble();
    let [head, notice, tabs, body, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(u16::from(trouble.is_some())),
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    let (line, well) = screen.headline();
    let style = match well {
        true => Style::new().add_modifier(Modifier::BOLD),
        false => Style::new().fg(Color::Red).add_modifier(Modifier::BOLD),
    };
    let headline = Line::from(vec!["snihub  ".bold(), Span::styled(line, style)]);
    frame.render_widget(Paragraph::new(headline), head);
    if let Some(trouble) = trouble {
        frame.render_widget(Paragraph::new(trouble).yellow(), notice);
    }
    frame.render_widget(Paragraph::new(tab_line(screen)), tabs);
    table(frame, screen, body);
    let foot_line = match screen.finding {
        true => Line::from(format!("/{}_   Enter keeps it, Esc shows all", screen.find)),
        false => Line::from(KEYS).dim(),
    };
    frame.render_widget(Paragraph::new(foot_line), foot);
}

fn tab_line(screen: &Screen) -> Line<'static> {
    let mut spans = Vec::new();
    for (n, kind) in Kind::ALL.into_iter().enumerate() {
        let name = format!(" {} {} ", n + 1, kind.title());
        spans.push(match kind == screen.kind {
            true => name.reversed(),
            false => Span::raw(name),
        });
    }
    if let Some((rows, all)) = screen.rows() {
        let of = match rows.len() == all {
            true => format!("   {all}"),
            false => format!("   {} of {all} with \"{}\"", rows.len(), screen.find),
        };
        spans.push(of.dim());
    }
    Line::from(spans)
}

fn table(frame: &mut Frame<'_>, screen: &mut Screen, area: Rect) {
    let columns = screen.kind.columns();
    let Order { column, reversed } = screen.order();
    let Some((rows, _)) = screen.rows() else {
        frame.render_widget(Paragraph::new("asking the hub ...").dim(), area);
        return;
    };
    if rows.is_empty() {
        frame.render_widget(Paragraph::new("nothing to show").dim(), area);
        return;
    }
    let numbers: Vec<bool> = rows[0]
        .cells
        .iter()
        .map(|cell| matches!(cell, Cell::Number(..)))
        .collect();
    let heads = columns.iter().enumerate().map(|(n, (name, _))| {
        let sign = match (n == column, reversed) {
            (true, false) => "\u{25be}",
            (true, true) => "\u{25b4}",
            _ => "",
        };
        let head = Text::from(format!("{name}{sign}")).alignment(alignment(numbers[n]));
        if n == column { head.bold() } else { head.dim() }
    });
    let header = ratatui::widgets::Row::new(heads);
    let widths = columns.iter().map(|(_, width)| match width {
        0 => Constraint::Fill(1),
        width => Constraint::Length(*width),
    });
    // A row's widgets are made for those alone that fit; the others keep their places.
    let shown = usize::from(area.height) + 1;
    let selected = screen.place.selected().unwrap_or(0).min(rows.len() - 1);
    let from = (selected + 1)
        .saturating_sub(shown)
        .min(screen.place.offset());
    let near = from.saturating_sub(shown)..selected + 2 * shown;
    let lines: Vec<ratatui::widgets::Row<'_>> = rows
        .iter()
        .enumerate()
        .map(|(n, row)| match near.contains(&n) {
            true => line(row),
            false => ratatui::widgets::Row::default(),
        })
        .collect();
    let table = Table::new(lines, widths)
        .header(header)
        .column_spacing(1)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut place = screen.place;
    frame.render_stateful_widget(table, area, &mut place);
    screen.place = place;
}

fn alignment(number: bool) -> Alignment {
    match number {
        true => Alignment::Right,
        false => Alignment::Left,
    }
}

fn line(row: &Row) -> ratatui::widgets::Row<'static> {
    let cells = row.cells.iter().map(|cell| {
        let number = matches!(cell, Cell::Number(..));
        Text::from(cell.text().to_owned()).alignment(alignment(number))
    });
    let style = match row.state.as_str() {
        "failing" => Style::new().fg(Color::Red),
        "refused" => Style::new().fg(Color::Yellow),
        "idle" => Style::new().add_modifier(Modifier::DIM),
        _ => Style::new(),
    };
    ratatui::widgets::Row::new(cells).style(style)
}
